// Errors of handlers that do not go through Gradio's queue: Gradio (6.31) hides them, so the page shows them itself.
(() => {
  const ask = window.fetch;
  window.fetch = async (...request) => {
    const answer = await ask(...request);
    const url = String(request[0]?.url ?? request[0]);
    if (answer.status >= 500 && url.includes('/run/')) {
      answer.clone().json().then((body) => body.error && show(body.error), () => {});
    }
    return answer;
  };

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
