import { invalidArgument } from '#base/errors.ts';

const adjectives =
  `able agile amber ample azure balmy bold brave bright brisk calm candid clear clever cosy crisp curious daring deft eager early
earnest easy even fair famous fancy fast fine firm fleet fluent fond frank free fresh frosty gentle giddy glad golden good grand green handy happy
hardy hearty honest humble jolly jovial keen kind lasting lively loyal lucid lucky lunar mellow merry mighty mild modest neat nimble noble open
patient placid plucky polite prompt proud quick quiet rapid rare ready robust rosy royal rustic sandy serene sharp shiny silent silver simple sleek
smart smooth snug solar sound spry stable steady stellar still stout sturdy sunny swift tidy tranquil trim true trusty upbeat valiant vast velvet
vivid warm wary wild willing wise witty young zealous zesty`.split(/\s+/);

const nouns =
  `acorn alder almond anchor anvil apple arbor arrow aspen aster atlas badger bamboo banner barley barn basalt basin bay beacon beaver
beech bell berry birch bison bloom boat bobcat book bough boulder bow branch breeze brick bridge brook broom buckle buoy bush cabin cable cactus canal
candle canoe canvas canyon cape caravan cedar cello chalk channel cherry chestnut cliff clock cloud clover coast cobalt comet compass copper coral
cove crane crate creek cricket crystal curlew cypress daisy dale dawn deer delta dew dock dolphin dove drum dune eagle ebony echo eddy elk elm ember
falcon fathom feather fern ferry fiddle field fig finch fir fjord flame flint flute fog forest forge fox frost galleon garden garnet gate gecko geyser
ginger glacier glade globe goose gorge granite grape grove gull hammer harbor hare harp hatch haven hawk hazel heath heron hill hinge holly honey
horizon ibis inlet iris iron island ivory ivy jade jasper jetty juniper kayak keel kelp kernel kettle key kite koala lagoon lake lantern larch lark
lava laurel leaf ledge lemon lichen lilac lily linden lion lotus lynx mango maple marble marsh marten meadow mesa meteor mill mint mirror moon moor
mortar moss myrtle nectar needle nest nettle nutmeg oak oasis oat ocean olive onyx opal orbit orchard orchid osprey otter owl paddle palm panda pansy
parsley path peach pear pearl pebble pelican pepper petal pier pine plateau plover plum pollen pond poplar poppy prairie prism puffin quartz quay
quill quince raft rain raven reed reef ridge river robin rope rose rudder saffron sage sail salmon sand sapling schooner seal sequoia shell ship shore
sloop snow sorrel sparrow spire spring spruce stone stork storm stream summit swallow swan teak tern thistle thyme tide timber topaz torch tower trail
trout tulip tundra valley vessel violet walnut walrus water wave wharf wheat willow wind wren yacht yarrow yew zephyr`.split(/\s+/);

const namePattern = /^\/?[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

/** The name without its leading slash. Rejects with InvalidArgument. */
export function parseName(text: string): string {
  if (!namePattern.test(text)) {
    throw invalidArgument(`Invalid container name (${text}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
  }
  return text.replace(/^\//, '');
}

/** A random name nobody has: two words; with a digit after collisions; in the end the short id, which is unique. */
export function randomName(isTaken: (name: string) => boolean, shortId: string): string {
  for (let attempt = 0; attempt < 6; attempt++) {
    const name = `${pick(adjectives)}_${pick(nouns)}${attempt === 0 ? '' : String(Math.floor(Math.random() * 10))}`;
    if (!isTaken(name)) return name;
  }
  return shortId;
}

function pick(words: readonly string[]): string {
  return words[Math.floor(Math.random() * words.length)] ?? 'steady';
}
