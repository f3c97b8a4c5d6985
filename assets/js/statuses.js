// Whom Gradio (6.31) tells that a handler is at work.
//
// At each event it tells all components that a handler at work so far fills or reads, and looks for each of them from
// the top of the page. Our forms are read as a whole, so that took most of the browser's time. Here it tells those that
// are filled alone: to be read shows on none of them.
(() => {
  const place = /\/statustracker-[^/]*\.js$/;

  async function quieten(address) {
    for (const found of Object.values(await import(address))) {
      const statuses = found?.prototype;
      if (!statuses?.resolve_args) continue;
      const told = statuses.resolve_args;
      statuses.resolve_args = function (event) {
        this.fn_inputs[event.fn_index] = [];
        return told.call(this, event);
      };
      document.documentElement.dataset.statuses = 'quiet';
    }
  }

  new PerformanceObserver((list) => {
    list.getEntries().filter(({ name }) => place.test(name)).forEach(({ name }) => quieten(name));
  }).observe({ type: 'resource', buffered: true });
})();
