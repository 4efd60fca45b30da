"""Examples of every command, and what the exit codes mean, for the end of its help. A test parses each of them."""

EXIT_CODES = "exit codes: 0 all is well, 1 some failed, 2 bad input, 130 interrupted (Ctrl-C), 143 terminated"
EXAMPLES = {
    "echoframe": ("generate clip.mp4 -o out", "models list", "generate --help"),
    "echoframe generate": (
        "generate clip.mp4 -o out",
        "generate videos/ -o out --seed 3 --candidates 3",
        "generate photo.jpg -o rain.flac --duration 5",
        "generate clip.mp4 -o out --prompt 'heavy rain on a roof' --negative-prompt 'speech, music'",
        "generate --prompt 'a dog barks' --duration 5 -o dog.wav",
        "generate clip.mp4 -o out --like door.wav --variation 0.6",
        "generate clip.mp4 -o out --label 'dog barking=2' --label 'wind noise=0'",
        "generate clip.mp4 -o out --seeds 0-4",
        "generate --list clips.csv -o out --shard 1/4 --batch-size 8",
        "generate clip.mp4 -o out --sample-rate 48000 --channels 2",
        "generate clip.mp4 -o out --mapper runs/first",
        "generate --from out/clip.wav.json -o again",
        "generate 'videos/*.mp4' -o out --json --quiet > results.jsonl",
        "generate -o out -- -1pRmoJIGQc.mp4",
    ),
    "echoframe web": (
        "web",
        "web --port 8080 --auth me:secret --max-duration 120",
        "web --host 0.0.0.0 --auth me:secret",
    ),
    "echoframe look": ("look clip.mp4", "look clip.mp4 --prompt 'heavy rain' --label 'wind noise=0'"),
    "echoframe cues": ("cues clip.mp4", "cues clip.mp4 -o cues.otio", "cues clip.mp4 --json"),
    "echoframe models": ("models list", "models check mini"),
    "echoframe models list": ("models list",),
    "echoframe models info": ("models info mini",),
    "echoframe models pull": ("models pull audioldm-s",),
    "echoframe models check": ("models check mini", "models check audioldm-s --sounds dog.wav rain.wav"),
    "echoframe models bundle": ("models bundle --mapper runs/first --generator mini -o my-model",),
    "echoframe data": ("data download vggsound.csv -o clips", "data verify clips"),
    "echoframe data download": (
        "data download vggsound.csv -o clips --workers 8",
        "data download vggsound.csv -o clips --retry temporary",
    ),
    "echoframe data adopt": ("data adopt videos -o clips --list vggsound.csv",),
    "echoframe data verify": ("data verify clips --workers 4",),
    "echoframe data repair": ("data repair clips",),
    "echoframe data stats": ("data stats clips --list vggsound.csv --png clips.png",),
    "echoframe data split": ("data split vggsound.csv -o split.csv --val-share 0.1",),
    "echoframe data pack": ("data pack clips -o tars",),
    "echoframe data unpack": ("data unpack tars -o clips",),
    "echoframe data publish": ("data publish clips name/dataset -o dataset --embeddings embeddings --dry-run",),
    "echoframe extract": (
        "extract clips -o embeddings",
        "extract clips -o embeddings --model audioldm-s --device cuda",
    ),
    "echoframe library": ("library add ~/sounds -o my.library", "library search my.library film.mp4"),
    "echoframe library add": (
        "library add ~/sounds -o my.library",
        "library add ~/sounds more.wav -o my.library --workers 4",
        "library add /sounds -o my.library --ray-address head:6379",
    ),
    "echoframe library search": (
        "library search my.library film.mp4",
        "library search my.library 'a door slams' --top 5",
        "library search my.library door.wav --json",
    ),
    "echoframe library info": ("library info my.library",),
    "echoframe library remove": ("library remove my.library ~/sounds/old",),
    "echoframe library check": ("library check my.library",),
    "echoframe train": (
        "train run.toml",
        "train run.toml --set seed=3 --set mapper.kind=mlp",
        "train run.toml --resume",
    ),
    "echoframe compare": ("compare runs -o table", "compare runs/first runs/second --split test"),
    "echoframe sweep": ("sweep sweep.toml",),
    "echoframe evaluate": (
        "evaluate --reference real --generated mini=out other=made -o report",
        "evaluate pull yamnet",
    ),
    "echoframe rate": ("rate make study --generated mini=out other=made", "rate serve study"),
    "echoframe rate make": ("rate make study --generated mini=out other=made --pairs --raters 20",),
    "echoframe rate serve": ("rate serve study --port 8080",),
    "echoframe rate links": ("rate links study --add 10 --url https://example.org",),
    "echoframe rate report": ("rate report study -o report",),
    "echoframe completion": (
        "completion bash > ~/.local/share/bash-completion/completions/echoframe",
        "completion zsh > ~/.zfunc/_echoframe",
        "completion fish > ~/.config/fish/completions/echoframe.fish",
    ),
}


def epilog(prog: str) -> str:
    """The end of the help of the command `prog`, such as "echoframe data verify"."""
    lines = [f"  echoframe {example}" for example in EXAMPLES.get(prog, ())]
    return "\n".join([*(["examples:", *lines, ""] if lines else []), EXIT_CODES])
