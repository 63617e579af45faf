/** Message types and flag sets of rtnetlink(7). */
export const messageType = {
  newLink: 16,
  deleteLink: 17,
  getLink: 18,
  setLink: 19,
  newAddress: 20,
  deleteAddress: 21,
  getAddress: 22,
  newRoute: 24,
  deleteRoute: 25,
  getRoute: 26,
  newNeighbour: 28,
  deleteNeighbour: 29,
  getNeighbour: 30,
} as const;

const NLM_F_REQUEST = 0x1;
const NLM_F_ACK = 0x4;
const NLM_F_EXCL = 0x200;
const NLM_F_CREATE = 0x400;
const NLM_F_REPLACE = 0x100;
const NLM_F_APPEND = 0x800;
const NLM_F_DUMP = 0x300;

export const flags = {
  /** Must not exist yet. */
  create: NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
  /** Made or replaced. */
  put: NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
  /** Made beside others that are there. */
  append: NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_APPEND,
  /** Must exist. */
  change: NLM_F_REQUEST | NLM_F_ACK,
  dump: NLM_F_REQUEST | NLM_F_DUMP,
} as const;
