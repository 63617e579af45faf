import type { VerifiedStore } from '#api/types/store.ts';
import type { VerifyReport } from '#engine/images/verify-report.ts';
import type { Services } from '../ports.ts';
import { messagesReply, toMessage } from '../progress-stream.ts';
import { route } from '../router.ts';
import type { Route } from '../router.ts';
import { errorMessage } from '#api/json-stream.ts';
import { messageOf } from '#base/errors.ts';
import { registryAuths } from '../translate/build.ts';

/** What Docker's API has no words for is below /berth. */
export const storeRoutes = ({ images }: Services): Route[] => [
  // Progress as of a pull; the report is the last message, as `aux`.
  route('POST /berth/system/verify', request => {
    const heal = request.query.has('heal') ? request.query.bool('heal') : true;
    const authOf = registryAuths(request.header('x-registry-config'));
    return messagesReply(
      async put => {
        const report = await images.verify({ heal, authOf }, progress => put(toMessage(progress)), request.signal);
        return { aux: toWireReport(report) };
      },
      err => errorMessage(messageOf(err)),
    );
  }),
];

const toWireReport = ({ blobs, layers, bytes, damage }: VerifyReport): VerifiedStore => ({
  Blobs: blobs,
  Layers: layers,
  Bytes: bytes,
  Damage: damage.map(({ kind, id, found, images, healed, note, containers }) => ({
    Kind: kind,
    Id: id,
    Found: [...found],
    Images: [...images],
    Healed: healed,
    Note: note,
    Containers: [...containers],
  })),
});
