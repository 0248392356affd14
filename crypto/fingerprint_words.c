/*
 * The words of fingerprints: see fingerprint_words.h.
 */
#include "crypto/fingerprint_words.h"

const char *const fingerprint_words[FINGERPRINT_WORD_COUNT] = {"acorn", "album", "amber", "anchor", "ankle", "apple",
    "apron", "arrow", "atlas", "autumn", "badge", "bagel", "bamboo", "banana", "barley", "basket", "beacon", "beaver",
    "bishop", "blanket", "blossom", "bottle", "bridge", "broom", "bucket", "button", "cabin", "cactus", "camel",
    "candle", "canoe", "carpet", "castle", "cedar", "cello", "cherry", "chimney", "circle", "clover", "cobalt",
    "coffee", "comet", "copper", "coral", "cotton", "cradle", "crayon", "cricket", "crystal", "daisy", "dancer",
    "desert", "diamond", "dinner", "dolphin", "donkey", "dragon", "eagle", "easel", "elbow", "emerald", "engine",
    "evening", "fabric", "falcon", "farmer", "feather", "fennel", "ferry", "fiddle", "flame", "flute", "forest",
    "fossil", "frost", "galaxy", "garden", "garlic", "gazelle", "ginger", "giraffe", "glacier", "globe", "goblet",
    "gravel", "guitar", "hammer", "harbor", "harvest", "hazel", "helmet", "heron", "hockey", "honey", "horizon",
    "hornet", "hotel", "hunter", "iceberg", "indigo", "infant", "insect", "island", "ivory", "jacket", "jaguar",
    "jasmine", "jelly", "jewel", "jigsaw", "journey", "jungle", "juniper", "kayak", "kettle", "kidney", "kingdom",
    "kitchen", "knight", "koala", "ladder", "lagoon", "lantern", "lapel", "lemon", "leopard", "lettuce", "lily",
    "linen", "lizard", "lobster", "lotus", "lunch", "magnet", "mango", "maple", "marble", "meadow", "melon", "mirror",
    "mitten", "mosaic", "muffin", "museum", "mustard", "napkin", "nectar", "needle", "nest", "nickel", "north",
    "nutmeg", "nylon", "oasis", "oatmeal", "ocean", "octopus", "olive", "onion", "opal", "orange", "orchid", "otter",
    "oyster", "paddle", "palace", "panda", "parrot", "peach", "pebble", "pelican", "pencil", "pepper", "piano",
    "pigeon", "pillow", "planet", "plum", "pocket", "polar", "potato", "pumpkin", "puzzle", "pyramid", "quail",
    "quartz", "queen", "quilt", "quiver", "rabbit", "radish", "raven", "ribbon", "river", "robin", "rose", "ruby",
    "rudder", "salmon", "sandal", "sapphire", "scarf", "school", "seal", "shadow", "shovel", "silver", "sketch",
    "spider", "spoon", "squirrel", "statue", "sugar", "sunset", "swan", "tablet", "tailor", "teapot", "temple",
    "thimble", "thunder", "tiger", "timber", "toast", "tomato", "tractor", "trumpet", "tulip", "tunnel", "turtle",
    "umbrella", "uncle", "unicorn", "utensil", "vacuum", "valley", "vanilla", "velvet", "violin", "volcano", "vulture",
    "waffle", "wagon", "walnut", "whale", "whisker", "winter", "wolf", "yacht", "yarn", "yellow", "yogurt", "zebra",
    "zenith", "zigzag", "zipper"};
