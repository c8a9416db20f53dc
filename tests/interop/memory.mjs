// An in-memory adapter for oidc-provider: a Map a model. The one it ships keeps at most 1,000 entries of all models together
// and then forgets the oldest, which would log out the sessions that a test or a benchmark is counting.
//
// Nothing is ever removed for being old; the provider itself refuses what has expired.

const GRANTABLE = new Set(['AccessToken', 'AuthorizationCode', 'RefreshToken', 'DeviceCode']);

/** A fresh store: pass what it returns as the provider's `adapter`. */
export function memory() {
  const models = new Map();
  const members = new Map(); // grant id -> [Map, id] of each of its tokens
  const sessionByUid = new Map();
  const deviceByUserCode = new Map();

  return function adapter(model) {
    if (!models.has(model)) models.set(model, new Map());
    const kept = models.get(model);
    const grantable = GRANTABLE.has(model);

    return {
      async upsert(id, payload) {
        const known = kept.has(id);
        kept.set(id, payload);
        if (model === 'Session') sessionByUid.set(payload.uid, id);
        if (payload.userCode) deviceByUserCode.set(payload.userCode, id);
        if (grantable && payload.grantId && !known) {
          const list = members.get(payload.grantId);
          if (list) list.push([kept, id]);
          else members.set(payload.grantId, [[kept, id]]);
        }
      },
      async find(id) {
        return kept.get(id);
      },
      async findByUid(uid) {
        return kept.get(sessionByUid.get(uid));
      },
      async findByUserCode(userCode) {
        return kept.get(deviceByUserCode.get(userCode));
      },
      async consume(id) {
        kept.get(id).consumed = Math.floor(Date.now() / 1000);
      },
      async destroy(id) {
        kept.delete(id);
      },
      async revokeByGrantId(grantId) {
        for (const [map, id] of members.get(grantId) ?? []) map.delete(id);
        members.delete(grantId);
      },
    };
  };
}
