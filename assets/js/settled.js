// `window.studio.settled()`: resolves once no handler outside of Gradio's queue is being asked, nor asks for another.
(() => {
  const ask = window.fetch;
  let asked = 0;
  window.fetch = async (...request) => {
    if (!String(request[0]?.url ?? request[0]).includes('/run/')) return ask(...request);
    asked += 1;
    const done = () => { asked -= 1; };
    try {
      const answer = await ask(...request);
      answer.clone().arrayBuffer().then(done, done);
      return answer;
    } catch (error) {
      done();
      throw error;
    }
  };

  // An answer fills the form, which may ask anew some turns of the page later.
  const turns = 4;
  const turn = 25; // ms

  async function settled() {
    for (let quiet = 0; quiet < turns; quiet = asked ? 0 : quiet + 1) {
      await new Promise((next) => setTimeout(next, turn));
    }
  }

  window.studio = { settled };
})();
