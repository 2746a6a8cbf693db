// Passkeys in a form: [data-passkey], with what to hand to the browser in data-request (JSON of the server).
//
//   data-passkey="get"     its button uses one in place of a code: [data-passkey-start]
//   data-passkey="create"  sending the form makes one first
//
// The browser's answer goes into the form's [data-passkey-answer], and the form is sent. What went wrong is said in
// [data-passkey-error]; the words are data-text-unsupported, -insecure, -cancelled, -exists and -failed.
// allauth's webauthn-json.js turns JSON into what browsers take, and back.

const WORDS = {
  // Cancelled by the user, too late, or no passkey of the account is at hand: browsers do not say which.
  NotAllowedError: "textCancelled",
  AbortError: "textCancelled",
  InvalidStateError: "textExists",
  // The page's address is no name of a host, or not the one that was asked for.
  SecurityError: "textInsecure",
  NotSupportedError: "textUnsupported",
};

function say(part, word) {
  const box = part.querySelector("[data-passkey-error]");
  box.hidden = word === null;
  box.querySelector("span").textContent = word === null ? "" : part.dataset[word];
}

async function ask(part, button) {
  const form = part.closest("form");
  if (button.ariaBusy === "true" || !form.reportValidity()) return;
  say(part, null);
  button.ariaBusy = "true";
  try {
    const answer = await globalThis.webauthnJSON[part.dataset.passkey](JSON.parse(part.dataset.request));
    form.querySelector("[data-passkey-answer]").value = JSON.stringify(answer);
    form.requestSubmit();
  } catch (error) {
    say(part, WORDS[error.name] ?? "textFailed");
    button.focus();
  } finally {
    button.ariaBusy = null;
  }
}

// That of a form which was refused, or is come back to, answers a challenge that is over.
addEventListener("pageshow", () => {
  for (const answer of document.querySelectorAll("[data-passkey-answer]")) answer.value = "";
});

for (const part of document.querySelectorAll("[data-passkey]")) {
  const button = part.querySelector("[data-passkey-start]");
  const form = part.closest("form");
  if (!globalThis.isSecureContext || !globalThis.webauthnJSON.supported()) {
    say(part, globalThis.isSecureContext ? "textUnsupported" : "textInsecure");
    continue;
  }
  // Until here it could not be pressed: a form that is sent without this script has no answer.
  button.hidden = button.disabled = false;
  if (part.dataset.passkey === "get") {
    button.addEventListener("click", () => ask(part, button));
  } else {
    form.addEventListener("submit", (event) => {
      if (form.querySelector("[data-passkey-answer]").value) return;
      event.preventDefault();
      // It is not on its way yet: what keeps a form from being sent twice must not see it (htmx-config.js).
      event.stopPropagation();
      ask(part, button);
    });
  }
}
