"""The demo's input: real lines are read, bad ones are named and stop nothing else."""

from pathlib import Path

import pytest

from cli.demo.invoices import COLUMNS, EXAMPLE, NotInvoices, read_invoices

HEADER = ",".join(COLUMNS)
GOOD = "536365,85123A,WHITE HEART,6,12/1/10 8:26,2.55,17850,United Kingdom"


def _file(folder: Path, *lines: str) -> Path:
    path = folder / "day.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


def test_the_example_is_read_whole() -> None:
    invoices, bad = read_invoices(EXAMPLE)
    assert bad == []
    assert len(invoices) == 66
    assert sum(len(invoice.lines) for invoice in invoices) == 999
    assert sum(invoice.is_credit for invoice in invoices) == 4
    assert sum(invoice.customer is None for invoice in invoices) == 1
    assert sorted(invoice.postage for invoice in invoices if invoice.postage) == [1500, 5400]
    assert [invoice.discount for invoice in invoices if invoice.discount] == [2750]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            "536365,85123A,X,six,12/1/10 8:26,2.55,17850,United Kingdom",
            "Quantity 'six' is not a whole number",
        ),
        ("536365,85123A,X,0,12/1/10 8:26,2.55,17850,United Kingdom", "Quantity '0' is not between"),
        ("536365,85123A,X,-1,12/1/10 8:26,2.55,17850,United Kingdom", "credit invoices"),
        ("536365,85123A,X,9999999,12/1/10 8:26,2.55,17850,United Kingdom", "is not between 1 and 100000"),
        ("536365,85123A,X,1,12/1/10 8:26,2.555,17850,United Kingdom", "in whole pence"),
        ("536365,85123A,X,1,12/1/10 8:26,-1,17850,United Kingdom", "is not between 0.00"),
        ("536365,85123A,X,1,12/1/10 8:26,NaN,17850,United Kingdom", "is not an amount in pounds"),
        ("536365,85123A,X,1,2010-12-01,2.55,17850,United Kingdom", "is not month/day/year"),
        ("536365,85123A,X,1,12/1/10 8:26,2.55,17850,Atlantis", "unknown Country 'Atlantis'"),
        ("536365,,X,1,12/1/10 8:26,2.55,17850,United Kingdom", "StockCode must be given"),
        ("536365,85123A,X,1", "it must have 8 fields"),
        (f"{GOOD},more", "it must have 8 fields"),
    ],
)
def test_a_bad_line_is_named_and_the_rest_goes_on(tmp_path: Path, line: str, reason: str) -> None:
    invoices, bad = read_invoices(_file(tmp_path, line, GOOD))
    assert [(each.file, each.line) for each in bad] == [("day.csv", 2)]
    assert reason in bad[0].reason
    assert [invoice.number for invoice in invoices] == ["536365"]


def test_what_is_no_invoice_file_is_refused_in_one_line(tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(NotInvoices, match="the first line must be InvoiceNo"):
        read_invoices(other)
    with pytest.raises(NotInvoices, match="No such file"):
        read_invoices(tmp_path / "missing.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(NotInvoices):
        read_invoices(tmp_path / "binary.csv")
