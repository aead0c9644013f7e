// Passkeys, the strength of a password, and the token of a link: what a page cannot do without a script;
// and to go on by itself where a form only has to be carried on.
"use strict";

const form = document.querySelector("meta[name=form]").content;

async function send(path, content) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", "x-form": form },
    body: JSON.stringify(content),
    credentials: "same-origin",
  });
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error ? [found.error.what, found.error.fix].filter(Boolean).join(". ") : "");
  return found;
}

const decoded = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
const encoded = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

function withBytes(options) {
  const found = { ...options, challenge: decoded(options.challenge) };
  if (options.user) found.user = { ...options.user, id: decoded(options.user.id) };
  for (const name of ["allowCredentials", "excludeCredentials"])
    if (options[name]) found[name] = options[name].map((one) => ({ ...one, id: decoded(one.id) }));
  return found;
}

function plain(credential) {
  const given = credential.response;
  const response = { clientDataJSON: encoded(given.clientDataJSON) };
  if (given.attestationObject) {
    response.attestationObject = encoded(given.attestationObject);
    response.transports = given.getTransports ? given.getTransports() : [];
  } else {
    response.authenticatorData = encoded(given.authenticatorData);
    response.signature = encoded(given.signature);
    response.userHandle = given.userHandle ? encoded(given.userHandle) : null;
  }
  return { id: credential.id, rawId: encoded(credential.rawId), type: credential.type, response };
}

const acts = {
  "sign-in": ["/account/passkey/options", "/account/passkey", { second: false }],
  second: ["/account/passkey/options", "/account/passkey", { second: true }],
  confirm: ["/account/passkey/options", "/account/confirm/passkey", { second: false }],
  enrol: ["/account/enrol/passkey/options", "/account/enrol/passkey", {}],
  add: ["/account/factors/passkey/options", "/account/factors/passkey", {}],
};

async function passkey(button) {
  const [asked, answered, more] = acts[button.dataset.passkey];
  const trouble = document.getElementById("script-error");
  trouble.hidden = true;
  try {
    const { ticket, options } = await send(asked, more);
    const publicKey = withBytes(options);
    const made = options.user ? await navigator.credentials.create({ publicKey }) : await navigator.credentials.get({ publicKey });
    const name = document.getElementById("name")?.value ?? "";
    const { go } = await send(answered, { ...more, ticket, name, answer: plain(made), next: button.dataset.next ?? "" });
    // What was sent before, and has waited for this, goes on now.
    const again = document.getElementById("again");
    if (again) again.submit();
    else location.assign(go);
  } catch (error) {
    trouble.textContent = error.message || "The passkey was not accepted. Try again, or use another way.";
    trouble.hidden = false;
  }
}

for (const button of document.querySelectorAll("[data-passkey]")) button.addEventListener("click", () => passkey(button));

const hidden = document.querySelector("[data-from-fragment]");
if (hidden) {
  const kept = location.hash.slice(1) || sessionStorage.getItem("link") || "";
  hidden.value = kept;
  // Kept for this tab, so that a refused password can be tried again; gone from what others may see of the address.
  sessionStorage.setItem("link", kept);
  history.replaceState(null, "", location.pathname);
}

const typed = document.querySelector("[data-strength]");
if (typed) {
  const meter = document.getElementById("strength"), text = document.getElementById("strength-text");
  let waiting = 0;
  typed.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      try {
        const found = await send("/account/strength", { password: typed.value });
        meter.value = found.score;
        text.textContent = found.faults.length
          ? `Not yet: ${found.faults.join("; ")}.`
          : ["Very weak.", "Weak.", "Fair.", "Good.", "Strong."][found.score];
      } catch {
        text.textContent = "";
      }
    }, 300);
  });
}

document.querySelector("form[data-now]")?.submit();
