// signin.js -- a key, once: the service gives a cookie for it.
import { useState } from "preact/hooks";
import { signIn } from "../lib/api.js";
import { html } from "../lib/ui.js";

export function SignIn() {
  const [key, setKey] = useState("");
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError("");
    try {
      await signIn(key.trim());
    } catch (e) {
      setError(e.message);
    }
    setBusy(false);
  };
  return html`<main class="signin"><form onSubmit=${submit}>
    <img src="/console/icon.svg" alt="" width="40" height="40" />
    <h1>Sign in to tranche</h1>
    <label>Key<input type="password" autocomplete="current-password" autofocus required placeholder="tk_…" value=${key}
      aria-describedby="key-help" aria-invalid=${!!error} onInput=${(e) => setKey(e.target.value)} /></label>
    <p id="key-help" class="help">The operator makes one with <code>tranche keys create --name you</code>.</p>
    ${error && html`<p class="notice bad" role="alert">${error}</p>`}
    <button class="primary" disabled=${busy}>${busy ? "Signing in" : "Sign in"}</button>
  </form></main>`;
}
