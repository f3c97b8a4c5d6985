// What the page asks of the studio, all of which goes through `fetch`.
(() => {
  const ask = window.fetch;

  // Gradio (6.31) takes the requests that leaving the page breaks off for a lost connection, and as soon as the studio
  // answers loads the page anew: that breaks off the leaving, where the next page takes longer. So nothing is asked for
  // a while; if the page is still there then, it was not left.
  const patience = 60_000; // ms
  let left = -Infinity;
  window.addEventListener('beforeunload', () => { left = Date.now(); });
  const staying = () => new Promise((resolve) => setTimeout(resolve, left + patience - Date.now()));

  let asked = 0; // handlers outside of Gradio's queue that were not answered yet

  window.fetch = async (...request) => {
    if (Date.now() < left + patience) await staying();
    if (!String(request[0]?.url ?? request[0]).includes('/run/')) return ask(...request);
    asked += 1;
    const done = () => { asked -= 1; };
    try {
      const answer = await ask(...request);
      answer.clone().text().then((text) => tell(answer, text)).then(done, done);
      return answer;
    } catch (error) {
      done();
      throw error;
    }
  };

  // An answer fills the form, which may ask anew some turns of the page later.
  const turns = 4;
  const turn = 25; // ms

  // Resolves once no handler outside of the queue is being asked, nor asks for another.
  async function settled() {
    for (let quiet = 0; quiet < turns; quiet = asked ? 0 : quiet + 1) {
      await new Promise((next) => setTimeout(next, turn));
    }
  }

  window.studio = { settled };

  // Gradio hides the errors of handlers outside of its queue, so the page shows them itself.
  function tell(answer, text) {
    if (answer.status < 500) return;
    const { error } = JSON.parse(text);
    if (error) show(error);
  }

  // The message comes escaped, as Gradio's own toasts take it; as text it can do nothing.
  const plain = (message) => new DOMParser().parseFromString(message, 'text/html').documentElement.textContent;

  function show(message) {
    const shelf = document.querySelector('#studio-toasts') ?? document.body.appendChild(document.createElement('div'));
    shelf.id = 'studio-toasts';
    const text = plain(message);
    [...shelf.children].filter((old) => old.querySelector('p').textContent === text).forEach((old) => old.remove());
    const toast = shelf.appendChild(document.createElement('div'));
    toast.className = 'studio-toast';
    toast.setAttribute('role', 'alert');
    toast.appendChild(document.createElement('b'));
    toast.appendChild(document.createElement('p')).textContent = text;
    const close = toast.appendChild(document.createElement('button'));
    close.type = 'button';
    close.setAttribute('aria-label', '×');
    close.textContent = '×';
    close.addEventListener('click', () => toast.remove());
  }
})();
