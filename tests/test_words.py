"""Words to labels: what people type names the label that they mean, and what nothing is known of is said in one line."""

import itertools
import json
from pathlib import Path

import pytest

from echoframe.bundles.labels import vggsound_labels
from echoframe.bundles.vocabulary import SILENT, vocabulary, word_table
from echoframe.bundles.word_forms import base_form, words_of
from echoframe.bundles.words import called_alike, labels_meant
from echoframe.errors import InputError

MINI = Path(__file__).parents[1] / "src" / "echoframe" / "bundles" / "mini"
NAMES = [name for name, _ in vggsound_labels()]
# texts and the label that should come first, alone or beside others that the text names as well
TEXTS = """
rain=raining
heavy rain on a tin roof=raining
thunderstorm=thunder
a thunderclap in the distance=thunder
a baby cries=baby crying
baby laughing=baby laughter
typing=typing on computer keyboard
keyboard=typing on computer keyboard
someone types on an old typewriter=typing on typewriter
car horn=vehicle horn, car horn, honking
a taxi honks=vehicle horn, car horn, honking
door slams=door slamming
applause=people clapping
crowd cheering=people cheering
church bells=church bell ringing
waves crashing on the beach=sea waves
the sea=sea waves
river=stream burbling
a babbling brook=stream burbling
wind howling=wind noise
strong wind=wind noise
footsteps in snow=footsteps on snow
walking through deep snow=footsteps on snow
police siren=police car (siren)
ambulance=ambulance siren
gunshots=machine gun shooting
machine gun fire=machine gun shooting
helicopter flying over=helicopter
sawing wood with a chainsaw=chainsawing trees
piano music=playing piano
a pianist plays a sonata=playing piano
someone playing drums=playing drum kit
cat=cat meowing
kitten meowing=cat meowing
purring cat=cat purring
rooster=chicken crowing
cock-a-doodle-doo=chicken crowing
horse galloping=horse clip-clop
horses neigh=horse neighing
phone rings=telephone bell ringing
toilet flush=toilet flushing
vacuum=vacuum cleaner cleaning floors
hoover=vacuum cleaner cleaning floors
dog=dog barking
a dog barks=dog barking
dogs howling at the moon=dog howling
a puppy whines=dog whimpering
growling dog=dog growling
campfire=fire crackling
crackling fire in the fireplace=fire crackling
fireworks=fireworks banging
fire engine=fire truck siren
a plane flies overhead=airplane flyby
jet taking off=airplane
train passing=railroad car, train wagon
steam train whistle=train whistling
train horn=train horning
subway=subway, metro, underground
a car drives by=car passing by
starting the car=car engine starting
revving engine=engine accelerating, revving, vroom
tyres screech=skidding
motorbike=driving motorcycle
bus=driving buses
lawnmower=lawn mowing
hammering=hammering nails
chopping wood with an axe=chopping wood
cutting vegetables=chopping food
blender=eletric blender running
hair dryer=hair dryer drying
alarm clock=alarm clock ringing
smoke alarm=smoke detector beeping
printer=printer printing
mouse click=mouse clicking
tearing paper=ripping paper
violin=playing violin, fiddle
acoustic guitar=playing acoustic guitar
electric guitar solo=playing electric guitar
strumming a guitar=playing acoustic guitar
bass guitar=playing bass guitar
trumpet fanfare=playing trumpet
saxophone=playing saxophone
flute melody=playing flute
cello=playing cello
harp=playing harp
bagpipes=playing bagpipes
orchestra playing a symphony=orchestra
gong=playing gong
wind chimes=wind chime
choir=singing choir
a woman sings=female singing
man singing=male singing
a man talks=male speech, man speaking
woman speaking on the radio=female speech, woman speaking
children playing=children shouting
kids laughing=people giggling
laughter=people belly laughing
a man coughs=people coughing
sneeze=people sneezing
whispering=people whispering
scream=people screaming
a woman screams in terror=people screaming
burp=people burping
footsteps=footsteps on snow
soldiers marching=people marching
jogging=people running
crowd of people=people crowd
restaurant chatter=people babbling
booing audience=people booing
birds=bird chirping, tweeting
birds singing in the morning=bird chirping, tweeting
owl at night=owl hooting
crickets at night=cricket chirping
bees=bee, wasp, etc. buzzing
mosquito=mosquito buzzing
a fly buzzing around=fly, housefly buzzing
crows=crow cawing
ducks on a pond=duck quacking
geese=goose honking
pigeons cooing=pigeon, dove cooing
cow mooing=cattle mooing
cows=cow lowing
sheep=sheep bleating
goat=goat bleating
pigs=pig oinking
frogs=frog croaking
snake=snake hissing
rattlesnake=snake rattling
lion roaring=lions roaring
elephant=elephant trumpeting
monkeys=chimpanzee pant-hooting
whale song=whale calling
dinosaur roar=dinosaurs bellowing
waterfall=waterfall burbling
splash=splashing water
pouring water into a glass=splashing water
garden hose=spraying water
rowing a boat=rowboat, canoe, kayak rowing
speedboat=motorboat, speedboat acceleration
swimming pool=swimming
ice cracking on a frozen lake=ice cracking
volcano erupting=volcano explosion
explosion=volcano explosion
cannon fire=firing cannon
rocket launch=missile launch
ping pong=playing table tennis
tennis match=playing tennis
basketball dribbling=basketball bounce
bowling=striking bowling
kicking a football=shot football
skateboarders=skateboarding
tap dance=tap dancing
popcorn=popping popcorn
eating chips=people eating crisps
slurping noodles=people eating noodle
sharpening a knife=sharpen knife
sewing machine=using sewing machines
lighting a match=strike lighter
closing a drawer=opening or closing drawers
ship horn=foghorn
roller coaster=roller coaster running
heartbeat=heart sounds, heartbeat
barkng dog=dog barking
accordeon=playing accordion
helicoptor=helicopter
electric fan=running electric fan
wind in the trees=wind rustling leaves
leaves rustling=wind rustling leaves
""".strip().splitlines()
# the same, with the labels that mini has beside VGGSound's
MORE_TEXTS = """
the roar of a waterfall=waterfall burbling
lawn being mowed=lawn mowing
a violinist practising=playing violin, fiddle
sobbing woman=people sobbing
men marching=people marching
someone blowing their nose=people nose blowing
rain pattering on windows=raining
a bell tolls=church bell ringing
seals barking=sea lion barking
a bus pulls away=driving buses
two swords clash=sword clashing
crackling bonfire=fire crackling
gentle breeze=wind noise
rustling leaves in autumn=wind rustling leaves
a crow caws=crow cawing
squeaky dog toy=squeaky toy
washing machine spinning=washing machine
dripping tap=water dripping
a wooden door slams shut=door slamming
a gate creaks=door slamming
hens in a yard=chicken clucking
galloping horses=horse clip-clop
woman giggling=people giggling
crying baby in the next room=baby crying
baby gurgles=baby babbling
cars passing on a wet road=car passing by
heavy traffic=driving, traffic
a truck backs up=reversing beeps
steam locomotive=railroad car, train wagon
old steam train=railroad car, train wagon
tram=railroad car, train wagon
police cars chasing=police car (siren)
shotgun=firing muskets
pistol shots=cap gun shooting
grenade goes off=explosion
the bomb explodes=explosion
arrows flying=arrow shooting
cracking a whip=whip cracking
camera clicks=camera shutter
ticking clock=clock ticking
someone at the door rings the bell=door bell ringing
chopping onions=chopping food
clinking cutlery=eating with cutlery
biting an apple=people eating apple
drinking through a straw=people slurping
sipping tea=people slurping
burping man=people burping
snapping fingers=finger snapping
a kiss=lip smacking
typing away on a laptop=typing on computer keyboard
mouse clicks=mouse clicking
paper being torn=ripping paper
blowtorch=blowtorch igniting
angle grinder=electric grinder grinding
sewing=using sewing machines
sanding wood=planing timber
digging with an excavator=tractor digging
church organ=playing electronic organ
slide guitar=playing steel guitar, slide guitar
drummer=playing drum kit
tribal drums=playing djembe
jazz saxophone=playing saxophone
steel drums=playing steelpan
string quartet=playing violin, fiddle
hip hop=rapping
record scratch=disc scratching
gospel choir=singing choir
tibetan bowls=singing bowl
kayaking=rowboat, canoe, kayak rowing
skiers going downhill=skiing
ice skating=playing hockey
bouncing basketball=basketball bounce
goal at the football match=shot football
diver underwater=scuba diving
bubbles rising underwater=underwater bubbling
splashes=splashing water
filling the bath=sloshing water
hissing steam=steam hissing
kettle boiling=water boiling
T-rex roaring=dinosaurs bellowing
bats=bat squeaking
rats squeaking=mouse squeaking
hummingbird=bird wings flapping
seagulls=seagull crying
sea gulls by the harbour=seagull crying
peacock=pheasant crowing
tawny owl=owl hooting
pig squeals=pig oinking
wolves=wolf howling
humpback whale singing=whale calling
cicadas=cricket chirping
a swarm of bees=bee, wasp, etc. buzzing
motorcycle roaring past=driving motorcycle
car skids=skidding
racing cars=race car, auto racing
ship's horn=foghorn
jet flying over=airplane flyby
air conditioner hum=air conditioning noise
ceiling fan=running electric fan
hand saw=sawing wood
""".strip().splitlines()
DOGS = {name for name in NAMES if name.startswith("dog ")}


@pytest.fixture(scope="module")
def mini():
    """The names and kinds of mini's labels."""
    values = json.loads((MINI / "labels" / "labels.json").read_text(encoding="utf-8"))
    return values["names"], values["kinds"]


def test_the_table_has_a_row_for_every_label_and_no_other(mini):
    assert {*word_table()} == {*NAMES, *mini[0]}


def test_every_label_has_three_words_or_more_and_none_twice():
    for label, words in word_table().items():
        forms = [tuple(base_form(word) for word in words_of(each) if word not in SILENT) for each in (label, *words)]
        assert len(words) >= 3, label
        assert all(forms), label
        assert len({*forms}) == len(forms), label
        assert all(each == each.strip() for each in words), label


def test_words_of_the_table_name_their_label():
    everything = [*word_table()]
    pairs = [(label, word) for label in everything for word in word_table()[label] if word not in everything]
    missed = [(label, word) for label, word in pairs[::8] if label not in labels_meant(word, everything)]
    assert not missed


@pytest.mark.parametrize(("lines", "labels"), [(TEXTS, NAMES), (MORE_TEXTS, [*word_table()])], ids=["vggsound", "all"])
def test_what_people_type_names_what_they_mean(lines, labels):
    missed: list[str] = []
    for line in lines:
        text, label = line.split("=")
        meant = labels_meant(text, labels)
        if meant.get(label) != max(meant.values()) or len(meant) > 6 or sum(meant.values()) != pytest.approx(1):
            missed.append(f"{text}: {meant}")
    assert len(lines) >= 100
    assert not missed


def test_a_general_word_names_all_labels_that_it_covers_alike():
    assert labels_meant("dogs", NAMES) == pytest.approx(dict.fromkeys(DOGS, 1 / 6))
    speech = {name for name in NAMES if "speech" in name} | {"people babbling"}
    assert labels_meant("Speech", NAMES) == pytest.approx(dict.fromkeys(speech, 1 / 4))


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("heavy rain on a tin roof", "raining"),
        ("dog howling", "dog howling"),
        ("the dog barks", "dog barking"),
        ("dog", None),
        ("barkng dog", "dog barking"),
        ("accordeon", "playing accordion"),
        ("fire alarm", "smoke detector beeping"),
        ("door-bell", None),
        ("a dog barking in the rain", "dog barking"),
        ("chain saw", "chainsawing trees"),
        ("SÉA WAVES!", "sea waves"),
        ("table tennis", "playing table tennis"),
        ("a man with a hammer", "hammering nails"),
        ("sawing wood with a chainsaw", "chainsawing trees"),
        ("bees", "bee, wasp, etc. buzzing"),
        ("buses", "driving buses"),
    ],
)
def test_the_words_that_say_most_decide(text, label):
    if label:
        assert labels_meant(text, NAMES) == {label: 1.0}
    elif text == "dog":
        assert {*labels_meant(text, NAMES)} == DOGS
    else:
        assert labels_meant(text, [*NAMES, "door bell ringing"]) == {"door bell ringing": 1.0}


def test_the_name_of_a_label_means_it_alone():
    everything = [*word_table()]
    assert {label: labels_meant(label, everything) for label in everything} == {
        label: {label: 1.0} for label in everything
    }


@pytest.mark.parametrize(
    "text",
    ["rain, dog howling", "rain and a dog howls", "Rain; howling dog", "rain\nDog howling", "rain while a dog howls"],
)
def test_parts_count_alike_however_they_are_joined(text):
    assert labels_meant(text, NAMES) == {"dog howling": 0.5, "raining": 0.5}


def test_shares_of_parts_add_up_and_the_greatest_comes_first():
    meant = labels_meant("speech, rain, downpour", NAMES)
    assert [*meant][0] == "raining"
    assert meant["raining"] == pytest.approx(2 / 3)
    assert meant["people babbling"] == pytest.approx(1 / 12)


def test_a_kind_names_its_labels(mini):
    assert {*labels_meant("music", NAMES)} == {name for name, kind in vggsound_labels() if kind == "music"}
    names, kinds = mini
    animals = {name for name, kind in zip(names, kinds, strict=True) if kind == "animal"}
    assert {*labels_meant("animals", names, kinds)} == animals
    with pytest.raises(InputError, match='"animals" names no sound that is known'):
        labels_meant("animals", ["dog barking", "meteor"], ["x", "y"])


def test_labels_beyond_the_table_are_known_by_their_names():
    assert labels_meant("falling meteors", ["meteor falling", "raining"]) == {"meteor falling": 1.0}
    assert labels_meant("someone walks on gravel", ["footsteps on gravel", "raining"]) == {"footsteps on gravel": 1.0}


@pytest.mark.parametrize("text", ["", "  \n ", ",;", "and"])
def test_a_text_without_words_is_refused(text):
    with pytest.raises(InputError, match='has no words; say which sound you mean, such as "rain"'):
        labels_meant(text, NAMES)


@pytest.mark.parametrize(
    "text", ["quantum flux", "asdf", "snoring", "a man juggling", "loud", "house", "castle", "rain, plants"]
)
def test_an_unknown_part_is_named_with_the_nearest_words(text):
    with pytest.raises(InputError) as refused:
        labels_meant(text, NAMES)
    said = str(refused.value)
    assert (
        f'the text "{text}": "{text.split(", ")[-1]}" names no sound that is known; the nearest known words are "'
        in said
    )
    assert said.endswith("use one of them, or another everyday word")
    assert "\n" not in said
    assert said.count('", "') == 2


def test_the_nearest_words_are_those_spelt_alike():
    with pytest.raises(InputError, match='nearest known words are "guitar", "guitarist", '):
        labels_meant("gutar", NAMES)


def test_a_label_that_the_model_lacks_is_named_with_its_relatives(mini):
    said = (
        'the text "a baby laughs": "a baby laughs" means "baby laughter", which this model does not know; '
        'the nearest labels that it knows are "people belly laughing", '
    )
    with pytest.raises(InputError, match=said):
        labels_meant("a baby laughs", *mini)
    with pytest.raises(InputError, match='"hail" means "hail", which this model does not know; name another sound'):
        labels_meant("hail", *mini)
    with pytest.raises(
        InputError, match='means "fly, housefly buzzing", which .* are "bee, wasp, etc. buzzing", "mosquito'
    ):
        labels_meant("a fly", *mini)


@pytest.mark.parametrize("text", ["no music", "rain without thunder", "birds, not dogs"])
def test_what_should_not_be_heard_is_refused(text):
    with pytest.raises(InputError, match="says what should not be heard; leave it out, or make it a negative prompt"):
        labels_meant(text, NAMES)


@pytest.mark.parametrize(
    "forms",
    [
        "bark barks barked barking",
        "sing sings sang sung singing",
        "cry cries cried crying",
        "mow mows mowed mowing",
        "clap claps clapped clapping",
        "ride rides rode riding",
        "whistle whistles whistled whistling",
        "sneeze sneezes sneezed sneezing",
        "buzz buzzes buzzed buzzing",
        "mouse mice",
        "leaf leaves",
        "bus buses",
        "bee bees",
        "puppy puppies",
        "axe axes",
        "tyre tire tyres",
    ],
)
def test_forms_of_a_word_have_one_base(forms):
    assert len({base_form(form) for form in forms.split()}) == 1


@pytest.mark.parametrize(
    "words",
    [
        "bus buzz",
        "sing sink",
        "ring rig",
        "bee be",
        "lightning lighting",
        "planing plane",
        "fly flying",
        "gas gras",
        "care car",
    ],
)
def test_false_friends_have_two(words):
    first, second = words.split()
    assert base_form(first) != base_form(second)


def test_the_same_text_means_the_same_and_duplicates_of_labels_do_not_count(mini):
    again = labels_meant("dogs, rain", NAMES)
    vocabulary.cache_clear()
    assert [*labels_meant("dogs, rain", NAMES).items()] == [*again.items()]
    assert labels_meant("dogs, rain", [*itertools.chain(NAMES, NAMES)]) == again


def test_labels_that_are_called_by_the_same_word_are_alike():
    found = called_alike(["playing oboe"], NAMES)
    assert {"playing clarinet", "playing flute"} <= {*found}
    assert not {"playing oboe", "raining", "playing piano"} & {*found}
    assert called_alike(["raining"], ["raining", "playing oboe"]) == []
