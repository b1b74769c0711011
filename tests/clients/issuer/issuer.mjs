// An issuer of OpenID Connect that nobody here wrote (npm oidc-provider), with people of ours in it. It says its address on a line and runs
// until its standard input ends. Who signs in is said in the address: /sign-in/UID?login=NAME&acr=VALUE stands for a person's
// doing there, and to a browser that says nothing of it a page is shown with a link for each.

import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import Provider from 'oidc-provider';

// who is registered there shows a secret, or signs with a key
const { ONWARD_BASE: base, CLIENT_SECRET: secret, CLIENT_KEY: key } = process.env;
const jwk = key && { ...createPublicKey(readFileSync(key)).export({ format: 'jwk' }), kid: 'k1', use: 'sig', alg: 'ES256' };

// what it has to say beside its address is for nobody who reads that
console.info = console.error;

const people = {
  anna: { name: 'Anna Ärzte', nhsid_nrbac_roles: [{ org_code: 'REM', role_code: 'R1' }, { org_code: 'RW4', role_code: 'R8000' }] },
  olga: { name: 'Olga', realm_access: { roles: ['onward-operator', 'other'] } },
  nobody: { name: 'Nobody in particular', realm_access: { roles: ['other'] } },
};

const server = createServer();
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'onward',
    ...(key
      ? { token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256', jwks: { keys: [jwk] } }
      : { client_secret: secret }),
    redirect_uris: [`${base}/login/callback`],
    post_logout_redirect_uris: [`${base}/login`],
    backchannel_logout_uri: `${base}/login/backchannel`,
    backchannel_logout_session_required: true,
    grant_types: ['authorization_code'],
    response_types: ['code'],
  }],
  pkce: { required: () => true },
  acrValues: ['AAL1_USERPASS', 'AAL3_ANY'],
  claims: { openid: ['sub'], profile: ['name'], nationalrbacaccess: ['nhsid_nrbac_roles', 'realm_access'], acr: null },
  features: { devInteractions: { enabled: false }, backchannelLogout: { enabled: true } },
  cookies: { keys: ['a key for cookies'] },
  // it would speak to no address of this machine, where the Onward is that is tested
  fetch: (url, options) => globalThis.fetch(url, { ...options, dispatcher: undefined }),
  interactions: { url: (_, interaction) => `/sign-in/${interaction.uid}` },
  findAccount: (_, id) => people[id] && { accountId: id, claims: () => ({ sub: id, ...people[id] }) },
  // nobody is asked whether Onward may know her name
  async loadExistingGrant(ctx) {
    const { client, session } = ctx.oidc;
    const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope('openid profile nationalrbacaccess');
    await grant.save();
    return grant;
  },
});

const answer = provider.callback();
server.on('request', async (request, response) => {
  const url = new URL(request.url, issuer);
  if (!url.pathname.startsWith('/sign-in/')) return answer(request, response);
  if (url.search === '' && request.headers.accept?.includes('text/html')) {
    const links = Object.keys(people).map((name) => `<li><a href="?login=${name}&amp;acr=AAL3_ANY">${name}</a></li>`);
    const page = `<!doctype html><html lang="en"><title>Sign in</title><h1>Sign in</h1><ul>${links.join('')}</ul><p><a href="?no">Cancel</a></p></html>`;
    return response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page);
  }
  try {
    const [login, acr] = [url.searchParams.get('login'), url.searchParams.get('acr') ?? undefined];
    const said = login ? { login: { accountId: login, acr } } : { error: 'access_denied' };
    await provider.interactionFinished(request, response, said);
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
});

console.log(issuer);
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
