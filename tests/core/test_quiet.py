"""Libraries that are told to be quiet, and speak again afterwards (`quiet.py`)."""

import logging

import pytest
from datasets.utils import logging as remarks

from lhy_lightning.core.quiet import quiet


@pytest.mark.parametrize("bars", [True, False])
def test_a_library_speaks_as_before_when_it_was_told_to_be_quiet_even_after_an_error(bars: bool) -> None:
    shown, level = remarks.is_progress_bar_enabled(), remarks.get_verbosity()
    try:
        (remarks.enable_progress_bar if bars else remarks.disable_progress_bar)()
        remarks.set_verbosity(logging.INFO)
        with quiet(remarks, logging.CRITICAL):
            assert remarks.get_verbosity() == logging.CRITICAL
            assert not remarks.is_progress_bar_enabled()
        assert remarks.get_verbosity() == logging.INFO
        with pytest.raises(ZeroDivisionError), quiet(remarks, logging.CRITICAL):
            _ = 1 / 0
        assert remarks.get_verbosity() == logging.INFO
        assert remarks.is_progress_bar_enabled() == bars
    finally:
        remarks.set_verbosity(level)
        (remarks.enable_progress_bar if shown else remarks.disable_progress_bar)()
