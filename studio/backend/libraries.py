"""torch, transformers, peft and trl are loaded on first use, by one thread at a time.

Transformers and TRL put another module in their own place in `sys.modules` while they are imported. A second thread
whose `import` statement meets them at that moment waits, and is then given the module that was replaced, which holds
no names: "cannot import name ... from transformers". So the backend's late imports are made inside `IMPORTING`:

    with IMPORTING:
        from studio.models.loading import load_model
"""

import threading

IMPORTING = threading.RLock()
