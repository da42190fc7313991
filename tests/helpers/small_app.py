"""The command `nital`; the processes that it starts have small views, which take no time, and time
for each block of a large image and each iteration of a training."""

import time
from typing import Any

if __name__ == "__main__":
    from nital.commands.cli import main

    main()
elif __name__ == "__mp_main__":  # what multiprocessing calls this file in the processes started
    from nital.app.work import live, tasks
    from nital.fast import labelling, view
    from nital.image import windows

    view.VIEW_PIXELS = 2**14
    windows.BLOCK_SIDE = 256
    measure_regions = labelling.measure_regions

    def measure_slowly(pixels: Any, *more: Any) -> Any:
        if pixels.size > 3 * 2**19:
            time.sleep(0.5)
        return measure_regions(pixels, *more)

    labelling.measure_regions = measure_slowly

    train = live.LiveMap.train

    def train_slowly(self: live.LiveMap, *step: Any) -> None:
        time.sleep(0.2)
        train(self, *step)

    tasks.DRAWING_PAUSE = 0
    live.LiveMap.train = train_slowly  # type: ignore[method-assign]
