// The passkey ceremony: the one thing on these pages a form alone cannot do.
//
// 1. The form is posted with step=begin; the answer holds the ceremony's handle and the browser's options.
// 2. The browser asks the person for a passkey.
// 3. The result goes into the form's own fields, and the form is posted the ordinary way.
"use strict";

(() => {
  const form = document.querySelector("form[data-passkey]");
  if (!form) return;
  const button = form.querySelector("button[type=submit]:not([data-plain])");
  const trouble = form.querySelector("[data-trouble]");
  const progress = form.querySelector("[data-progress]");
  const link = form.elements.namedItem("link");

  // A one-time link carries its secret behind the `#`, which browsers never send: from there into the
  // form, and out of the address bar and the history.
  if (link && location.hash.length > 1) {
    link.value = location.hash.slice(1);
    link.closest("[data-link-field]").hidden = true;
    history.replaceState(null, "", location.pathname);
  }

  const bytes = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

  const say = (message) => {
    trouble.textContent = message;
    trouble.hidden = !message;
  };
  const busy = (message) => {
    if (!button) return;
    button.disabled = Boolean(message);
    progress.textContent = message;
  };

  const begin = async () => {
    const body = new URLSearchParams(new FormData(form));
    body.set("step", "begin");
    const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
    const begun = await answer.json();
    if (!answer.ok) throw new Error(begun.error);
    return begun;
  };

  const create = async (options) => {
    options.challenge = bytes(options.challenge);
    options.user.id = bytes(options.user.id);
    for (const known of options.excludeCredentials || []) known.id = bytes(known.id);
    const made = await navigator.credentials.create({ publicKey: options });
    return {
      id: made.id, rawId: text(made.rawId), type: made.type, extensions: made.getClientExtensionResults(),
      response: {
        attestationObject: text(made.response.attestationObject),
        clientDataJSON: text(made.response.clientDataJSON),
        transports: made.response.getTransports ? made.response.getTransports() : [],
      },
    };
  };

  const get = async (options) => {
    options.challenge = bytes(options.challenge);
    for (const known of options.allowCredentials || []) known.id = bytes(known.id);
    const shown = await navigator.credentials.get({ publicKey: options });
    const response = shown.response;
    return {
      id: shown.id, rawId: text(shown.rawId), type: shown.type, extensions: {},
      response: {
        authenticatorData: text(response.authenticatorData),
        clientDataJSON: text(response.clientDataJSON),
        signature: text(response.signature),
        userHandle: response.userHandle ? text(response.userHandle) : null,
      },
    };
  };

  const explain = (error) => {
    switch (error.name) {
      case "NotAllowedError":
        return "The passkey prompt was closed or ran out of time. Nothing has changed; you can try again.";
      case "InvalidStateError":
        return "This device already holds a passkey of yours for this organisation.";
      case "SecurityError":
        return "Passkeys do not work at this address. Open this page by the server's own name.";
      case "TypeError":
        return "The server could not be reached. Look at your connection, then try again.";
      default:
        return error.message || "The passkey could not be used. Try again.";
    }
  };

  form.addEventListener("submit", async (event) => {
    // The way to the organisation's own login needs no script.
    if (event.submitter && event.submitter.hasAttribute("data-plain")) return;
    event.preventDefault();
    say("");
    if (!window.PublicKeyCredential) {
      say("This browser cannot use passkeys. Open this page in a current browser, over HTTPS.");
      return;
    }
    busy("Follow your browser's prompt …");
    try {
      const begun = await begin();
      const result = form.dataset.passkey === "create" ? await create(begun.options) : await get(begun.options);
      form.elements.namedItem("ceremony").value = begun.ceremony;
      form.elements.namedItem("credential").value = JSON.stringify(result);
      form.submit();
    } catch (error) {
      busy("");
      say(explain(error));
      button.focus();
    }
  });
  // A page restored from the back button must not keep a disabled button.
  window.addEventListener("pageshow", () => busy(""));
})();
