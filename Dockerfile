# EchoFrame on the CPU, with the embedded model. A folder of videos is mounted at /data:
#   docker build -t echoframe .
#   docker run --rm --user "$(id -u)" -v "$PWD:/data" echoframe generate clip.mp4 -o out
# Without arguments the video of the demo gets its sound.
FROM python:3.12-slim

# HOME: any user may write there, so that --user takes any number
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 HOME=/tmp
# CUDA's libraries, 3 GB, are not in the index of CPU wheels
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /opt/echoframe
COPY constraints.txt ./
RUN python -m pip install --index-url "$TORCH_INDEX" -c constraints.txt torch
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m pip install -c constraints.txt . && echoframe models check mini
COPY demo/clip.mp4 demo/clip.mp4

RUN useradd echoframe && mkdir /data && chown echoframe /data
USER echoframe
WORKDIR /data
ENTRYPOINT ["echoframe"]
CMD ["generate", "/opt/echoframe/demo/clip.mp4", "-o", "/tmp/out", "--seed", "0", "--picture"]
