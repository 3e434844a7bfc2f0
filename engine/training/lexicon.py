"""The words of the pronoun grammar: nouns, adjectives and verbs, English and French side by side.

Each adjective lists the nouns it may describe, so that a reader finds every noun-adjective pair plausible. An adjective
marked ``reserved`` never occurs in the training stream; the held-out set B is built from the reserved ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Gender = Literal["m", "f"]
# French nouns spelled with an aspirated h: no elision before them ("le hérisson").
ASPIRATED_H = frozenset({"hérisson"})


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun with its French word and gender."""

    english: str
    french: str
    gender: Gender


@dataclass(frozen=True, slots=True)
class Adjective:
    """An adjective with both French forms.

    Attributes:
        english: The English word.
        masculine: The French masculine form.
        feminine: The French feminine form.
        nouns: English nouns it may describe; empty means every noun of its pool.
        gradable: Whether "too" and "very" go with it ("too flooded" does not).
        reserved: Whether it is kept out of training, for set B.
    """

    english: str
    masculine: str
    feminine: str
    nouns: frozenset[str] = frozenset()
    gradable: bool = True
    reserved: bool = False

    def french(self, gender: Gender) -> str:
        """Return the form that agrees with `gender`."""
        return self.masculine if gender == "m" else self.feminine

    def suits(self, noun: Noun) -> bool:
        """Return whether the adjective may describe `noun` (the lecture's own two pairs are kept unseen)."""
        if (self.english, noun.english) in {("tired", "animal"), ("wide", "street")}:
            return False
        return not self.nouns or noun.english in self.nouns


@dataclass(frozen=True, slots=True)
class Verb:
    """A transitive verb, with the forms that the clause shapes use (every French one takes "avoir")."""

    base: str
    past: str
    participle: str
    gerund: str
    infinitive: str
    french_participle: str
    nouns: frozenset[str] = frozenset()

    def takes(self, noun: Noun) -> bool:
        """Return whether `noun` makes a plausible object."""
        return not self.nouns or noun.english in self.nouns


def _nouns(masculine: str, feminine: str) -> tuple[Noun, ...]:
    """Read "dog:chien cat:chat" lists, one for each gender."""
    lists: tuple[tuple[Gender, str], ...] = (("m", masculine), ("f", feminine))
    found = []
    for gender, words in lists:
        for pair in words.split():
            english, french = pair.split(":")
            found.append(Noun(english, french, gender))
    return tuple(found)


def _adjective(words: str, nouns: str = "", *, gradable: bool = True, reserved: bool = False) -> Adjective:
    """Read "lazy:paresseux:paresseuse"; a missing feminine is the masculine plus "e", unless that ends in "e"."""
    english, masculine, *rest = words.split(":")
    feminine = rest[0] if rest else masculine if masculine.endswith("e") else masculine + "e"
    return Adjective(english, masculine, feminine, frozenset(nouns.split()), gradable, reserved)


def _verb(words: str, nouns: str = "") -> Verb:
    """Read "eat:ate:eaten:eating:manger:mangé"."""
    base, past, participle, gerund, infinitive, french_participle = words.split(":")
    return Verb(base, past, participle, gerund, infinitive, french_participle, frozenset(nouns.split()))


LARGE_ANIMALS = _nouns(
    "animal:animal dog:chien cat:chat horse:cheval fox:renard monkey:singe wolf:loup bear:ours elephant:éléphant "
    "donkey:âne rabbit:lapin pig:cochon lion:lion tiger:tigre camel:chameau deer:cerf puppy:chiot sheep:mouton "
    "zebra:zèbre",
    "cow:vache goat:chèvre giraffe:girafe turtle:tortue mare:jument lioness:lionne ewe:brebis goose:oie "
    "gazelle:gazelle panther:panthère otter:loutre hen:poule turkey:dinde marmot:marmotte weasel:belette",
)
SMALL_ANIMALS = _nouns(
    "bird:oiseau duck:canard hedgehog:hérisson squirrel:écureuil lizard:lézard",
    "mouse:souris frog:grenouille bee:abeille ant:fourmi spider:araignée swallow:hirondelle owl:chouette "
    "caterpillar:chenille",
)
ANIMALS = LARGE_ANIMALS + SMALL_ANIMALS
LAND = _nouns(
    "path:chemin trail:sentier boulevard:boulevard bridge:pont tunnel:tunnel field:champ garden:jardin park:parc "
    "desert:désert market:marché",
    "street:rue road:route avenue:avenue highway:autoroute alley:ruelle square:place forest:forêt meadow:prairie "
    "yard:cour beach:plage hill:colline valley:vallée plain:plaine",
)
WATER = _nouns("stream:ruisseau lake:lac canal:canal pond:étang", "river:rivière pool:piscine bay:baie lagoon:lagune")
VEHICLES = _nouns(
    "truck:camion bus:bus tractor:tracteur taxi:taxi scooter:scooter bike:vélo",
    "car:voiture van:camionnette motorcycle:moto ambulance:ambulance limousine:limousine jeep:jeep",
)
ITEMS = _nouns(
    "trophy:trophée book:livre vase:vase hat:chapeau painting:tableau umbrella:parapluie violin:violon toy:jouet "
    "coat:manteau computer:ordinateur mirror:miroir pillow:oreiller drum:tambour rug:tapis stick:bâton",
    "ball:balle lamp:lampe guitar:guitare statue:statue doll:poupée chair:chaise bottle:bouteille sword:épée map:carte "
    "clock:horloge blanket:couverture towel:serviette trumpet:trompette plate:assiette printer:imprimante",
)
CONTAINERS = _nouns(
    "bag:sac drawer:tiroir basket:panier closet:placard chest:coffre bucket:seau cart:chariot",
    "suitcase:valise box:boîte crate:caisse trunk:malle wardrobe:armoire cage:cage satchel:sacoche",
)
FOOD = _nouns(
    "bread:pain cheese:fromage cake:gâteau egg:œuf rice:riz fish:poisson ham:jambon melon:melon cookie:biscuit "
    "steak:steak butter:beurre",
    "soup:soupe meat:viande apple:pomme salad:salade carrot:carotte pear:poire pizza:pizza pie:tarte sausage:saucisse "
    "banana:banane sauce:sauce omelette:omelette tomato:tomate",
)
BULKY_FOOD = _nouns(
    "bread:pain cheese:fromage cake:gâteau ham:jambon melon:melon",
    "pizza:pizza pie:tarte sausage:saucisse",
)
KITCHEN = _nouns(
    "fridge:réfrigérateur oven:four bowl:bol basket:panier bag:sac",
    "box:boîte pot:casserole pan:poêle crate:caisse",
)
BUILDINGS = _nouns(
    "castle:château museum:musée hotel:hôtel mill:moulin shop:magasin",
    "house:maison school:école church:église farm:ferme factory:usine tower:tour station:gare",
)
NOUNS = ANIMALS + LAND + WATER + VEHICLES + ITEMS + CONTAINERS + FOOD + KITCHEN + BUILDINGS

_ROADS = "street road avenue highway boulevard "
_PATHS = "path trail alley "
_WIDE = "road avenue highway boulevard bridge square field yard meadow beach valley plain "

ANIMAL_ADJECTIVES = (
    _adjective("tired:fatigué"),
    _adjective("sick:malade"),
    _adjective("scared:effrayé"),
    _adjective("lazy:paresseux:paresseuse"),
    _adjective("shy:timide"),
    _adjective("nervous:nerveux:nerveuse"),
    _adjective("sleepy:somnolent"),
    _adjective("stubborn:têtu"),
    _adjective("weak:faible"),
    _adjective("hungry:affamé"),
    _adjective("thirsty:assoiffé"),
    _adjective("cautious:prudent"),
    _adjective("worried:inquiet:inquiète"),
    _adjective("distracted:distrait"),
    _adjective("suspicious:méfiant"),
    _adjective("exhausted:épuisé", reserved=True),
    _adjective("drowsy:ensommeillé", reserved=True),
    _adjective("terrified:terrifié", gradable=False, reserved=True),
    _adjective("anxious:anxieux:anxieuse", reserved=True),
    _adjective("timid:craintif:craintive", reserved=True),
)
LAND_ADJECTIVES = (
    _adjective("wide:large", _WIDE),
    _adjective("long:long:longue", _ROADS + _PATHS + "bridge tunnel beach"),
    _adjective("narrow:étroit", _PATHS + "street road bridge tunnel"),
    _adjective("crowded:bondé", "street avenue boulevard square park market beach garden"),
    _adjective("muddy:boueux:boueuse", _PATHS + "road field garden park meadow yard forest"),
    _adjective("slippery:glissant", _ROADS + _PATHS + "bridge square yard hill"),
    _adjective("icy:verglacé", _ROADS + _PATHS + "bridge square yard"),
    _adjective(
        "flooded:inondé",
        _ROADS + _PATHS + "tunnel field garden park market square meadow yard valley plain",
        gradable=False,
    ),
    _adjective("steep:raide", "path trail hill alley street road"),
    _adjective("dark:sombre", "tunnel alley forest path trail street park garden yard"),
    _adjective("noisy:bruyant", "street avenue highway boulevard market square"),
    _adjective("busy:fréquenté", _ROADS + "square market bridge park beach"),
    _adjective("snowy:enneigé", _PATHS + "road field hill forest meadow park garden yard valley"),
    _adjective("sunny:ensoleillé", "square beach field meadow yard garden plain valley hill park"),
    _adjective("vast:vaste", "desert forest plain park field meadow valley market"),
    _adjective("bumpy:cahoteux:cahoteuse", "road path trail alley street", reserved=True),
    _adjective("dusty:poussiéreux:poussiéreuse", "road path trail desert plain street alley yard", reserved=True),
    _adjective("winding:sinueux:sinueuse", "road path trail alley street", reserved=True),
    _adjective("rocky:rocailleux:rocailleuse", "path trail hill field desert beach road", reserved=True),
    _adjective("foggy:brumeux:brumeuse", "valley forest field hill bridge road plain meadow", reserved=True),
)
WATER_ADJECTIVES = (
    _adjective("wide:large", "stream lake canal river bay lagoon"),
    _adjective("deep:profond"),
    _adjective("cold:froid"),
    _adjective("long:long:longue", "canal river lagoon lake pool"),
    _adjective("rough:agité", "lake river bay"),
    _adjective("polluted:pollué", "stream lake canal pond river bay lagoon"),
    _adjective("muddy:boueux:boueuse", "stream canal pond river lagoon"),
    _adjective("murky:trouble", reserved=True),
    _adjective("choppy:houleux:houleuse", "lake bay lagoon", reserved=True),
    _adjective("freezing:glacial", gradable=False, reserved=True),
)
VEHICLE_ADJECTIVES = (
    _adjective("heavy:lourd", "truck bus tractor car van jeep limousine ambulance motorcycle"),
    _adjective("slow:lent"),
    _adjective("overloaded:surchargé", "truck bus tractor car van jeep taxi bike", gradable=False),
    _adjective("unstable:instable", "truck tractor scooter bike van motorcycle"),
    _adjective("rusty:rouillé", reserved=True),
    _adjective("faulty:défectueux:défectueuse", gradable=False, reserved=True),
    _adjective("cumbersome:encombrant", "truck bus tractor van limousine", reserved=True),
)
CHASED_ADJECTIVES = (
    _adjective("fast:rapide", "truck bus taxi scooter bike car van motorcycle ambulance limousine jeep"),
    _adjective("noisy:bruyant", "truck bus tractor taxi scooter car van motorcycle ambulance jeep"),
    _adjective("big:gros:grosse", "truck bus tractor van limousine ambulance jeep"),
    _adjective("powerful:puissant", "truck bus tractor car van motorcycle limousine jeep"),
    _adjective("deafening:assourdissant", "truck tractor bus scooter motorcycle ambulance", reserved=True),
    _adjective("smoky:fumant", "truck tractor bus scooter motorcycle car van", reserved=True),
    _adjective("speedy:véloce", "scooter bike taxi motorcycle car", reserved=True),
)
FOOD_ADJECTIVES = (
    _adjective("salty:salé", "soup meat bread cheese rice ham sausage fish sauce butter pizza omelette salad"),
    _adjective("spicy:épicé", "soup meat rice sausage sauce pizza fish salad omelette"),
    _adjective("rotten:pourri", "apple pear egg meat carrot banana melon tomato fish", gradable=False),
    _adjective("burnt:brûlé", "bread cake meat pie pizza sausage omelette cookie steak rice fish"),
    _adjective("bitter:amer:amère", "salad apple melon sauce pear"),
    _adjective("dry:sec:sèche", "bread cake meat rice cookie cheese pie steak ham"),
    _adjective("greasy:gras:grasse", "meat sauce sausage pizza cheese steak soup ham omelette"),
    _adjective("hot:chaud", "soup meat rice pizza pie sauce omelette egg steak"),
    _adjective("cold:froid", "soup meat rice pizza pie sauce omelette egg steak butter"),
    _adjective("hard:dur", "bread apple cheese carrot cookie pear butter"),
    _adjective("sweet:sucré", "cake pie melon cookie banana sauce pear"),
    _adjective("raw:cru", "meat egg fish carrot steak sausage", gradable=False),
    _adjective("ripe:mûr", "banana melon pear tomato apple"),
    _adjective("oily:huileux:huileuse", "sauce salad pizza soup fish omelette", reserved=True),
    _adjective("stale:rassis:rassise", "bread cake cookie pie", reserved=True),
    _adjective("sour:acide", "apple salad sauce tomato cheese", reserved=True),
    _adjective("moldy:moisi", "bread cheese apple tomato pear pie", gradable=False, reserved=True),
    _adjective("bland:fade", "soup rice ham melon sauce tomato meat bread", reserved=True),
)
LIFTED_ADJECTIVES = (
    _adjective("heavy:lourd"),
    _adjective("big:gros:grosse"),
    _adjective("slippery:glissant", "vase bottle plate trophy statue stick mirror"),
    _adjective("dirty:sale", "hat coat pillow rug blanket towel doll plate stick toy ball chair"),
    _adjective("bulky:volumineux:volumineuse", reserved=True),
    _adjective("sticky:collant", "bottle plate toy doll ball stick", reserved=True),
    _adjective("smelly:malodorant", "hat coat pillow rug blanket towel", reserved=True),
)
FITTED_ADJECTIVES = (
    _adjective("big:gros:grosse"),
    _adjective("large:grand"),
    _adjective("long:long:longue", "umbrella violin stick guitar sword trumpet rug blanket coat sausage bread"),
    _adjective("wide:large", "painting mirror drum hat rug lamp guitar chair plate blanket pizza pie cake map clock"),
    _adjective("thick:épais:épaisse", "book coat pillow rug blanket towel bread cheese pizza mirror"),
    _adjective("tall:haut", "trophy vase lamp statue chair bottle clock cake mirror"),
    _adjective("bulky:volumineux:volumineuse", reserved=True),
    _adjective("huge:énorme", gradable=False, reserved=True),
    _adjective("oversized:démesuré", gradable=False, reserved=True),
)
FITTING_ADJECTIVES = (
    _adjective("small:petit"),
    _adjective("narrow:étroit"),
    _adjective("full:plein"),
    _adjective("cluttered:encombré", "drawer closet chest cart trunk wardrobe suitcase fridge basket box bag crate"),
    _adjective("tiny:minuscule", gradable=False, reserved=True),
    _adjective("cramped:exigu:exiguë", reserved=True),
    _adjective("packed:rempli", gradable=False, reserved=True),
)

CROSSING = (
    _verb("cross:crossed:crossed:crossing:traverser:traversé"),
    _verb("cross:crossed:crossed:crossing:traverser:traversé"),
    _verb(
        "explore:explored:explored:exploring:explorer:exploré",
        "forest park garden field meadow desert hill valley plain beach yard market alley tunnel path trail lake "
        "pond bay river lagoon stream",
    ),
    _verb("visit:visited:visited:visiting:visiter:visité", "garden park market forest beach valley desert lagoon bay"),
    _verb(
        "reach:reached:reached:reaching:atteindre:atteint",
        "lake pond river forest bridge hill park market beach valley road stream square",
    ),
)
DRIVING = (
    _verb("cross:crossed:crossed:crossing:traverser:traversé"),
    _verb("use:used:used:using:utiliser:utilisé", _ROADS + _PATHS + "bridge tunnel"),
    _verb("take:took:taken:taking:prendre:pris", _ROADS + _PATHS + "bridge tunnel"),
)
AVOIDING = (_verb("avoid:avoided:avoided:avoiding:éviter:évité"),)
EATING = (
    _verb("eat:ate:eaten:eating:manger:mangé"),
    _verb("finish:finished:finished:finishing:finir:fini"),
    _verb("taste:tasted:tasted:tasting:goûter:goûté"),
    _verb("touch:touched:touched:touching:toucher:touché"),
    _verb("swallow:swallowed:swallowed:swallowing:avaler:avalé"),
)
REFUSING = (
    _verb("refuse:refused:refused:refusing:refuser:refusé"),
    _verb("ignore:ignored:ignored:ignoring:ignorer:ignoré"),
    _verb("leave:left:left:leaving:laisser:laissé"),
)
LIFTING = (
    _verb("lift:lifted:lifted:lifting:soulever:soulevé"),
    _verb("move:moved:moved:moving:déplacer:déplacé"),
    _verb("carry:carried:carried:carrying:porter:porté"),
    _verb("push:pushed:pushed:pushing:pousser:poussé"),
    _verb("drag:dragged:dragged:dragging:traîner:traîné"),
)
DROPPING = (
    _verb("drop:dropped:dropped:dropping:lâcher:lâché"),
    _verb("ignore:ignored:ignored:ignoring:ignorer:ignoré"),
)
CHASING = (
    _verb("overtake:overtook:overtaken:overtaking:dépasser:dépassé"),
    _verb("follow:followed:followed:following:suivre:suivi"),
    _verb("chase:chased:chased:chasing:poursuivre:poursuivi"),
)
