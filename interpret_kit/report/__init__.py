"""Static pages of saved results, to open from disk and to send to others."""

from interpret_kit.report.page import Front as Front
from interpret_kit.report.page import Section as Section
from interpret_kit.report.page import write_report as write_report
