"""The report as a browser shows it: figures are drawn, viewers can be looked at, and markup in tweets stays text.

Skipped where there is no Chromium with its driver (Debian: chromium, chromium-driver).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from funnel.report_html.page import html_page
from funnel.report_html.run import open_run
from funnel.simulate import simulate_to
from tests.experiment.cheap import cheap, viewers
from tests.funnel.test_report_html import ABLATION, EVIL, LEDGER

pytestmark = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")), reason="needs chromium and chromedriver"
)
# Nothing may ask a network, and a browser started by root wants no sandbox of its own.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,1600",
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of forty viewers; one module's text is markup."""
    folder = tmp_path_factory.mktemp("browser")
    simulate_to(cheap(), viewers(), folder / "run")
    opened = open_run(folder / "run")
    first = int(opened.pages["viewer"][0])
    modules = pl.DataFrame(
        {"viewer": [first], "place": [1], "kind": ["ad"], "text": [EVIL], "users": [[1]], "tweets": [[1]]},
        schema=opened.modules.schema,
    )
    pages = opened.pages.with_columns(pl.col("expected.favorite").alias("p.favorite"))
    made = replace(opened, pages=pages, modules=modules, attribution=LEDGER, ablation=ABLATION)
    file = folder / "report.html"
    file.write_text(html_page(made), "utf-8")
    return file


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A Chromium with an empty profile."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield started
    started.quit()


@pytest.fixture
def opened(browser: webdriver.Chrome, page: Path) -> webdriver.Chrome:
    """The report, freshly opened."""
    browser.get_log("browser")
    browser.get(page.as_uri())
    return browser


def test_every_figure_is_drawn_without_an_error(opened: webdriver.Chrome) -> None:
    places = opened.find_elements(By.CSS_SELECTOR, "[data-figure]")
    assert len(places) == 5
    for place in places:
        drawn = place.find_elements(By.CSS_SELECTOR, "svg.main-svg")
        assert drawn, place.get_attribute("data-figure")
        assert drawn[0].size["width"] > 200
        assert drawn[0].size["height"] > 100
    assert [line for line in opened.get_log("browser") if line["level"] == "SEVERE"] == []


def test_a_viewer_is_chosen_and_a_row_says_why(opened: webdriver.Chrome) -> None:
    chooser = Select(opened.find_element(By.ID, "viewer"))
    assert len(chooser.options) == len(viewers())
    before = opened.find_element(By.ID, "timeline").text
    chooser.select_by_index(1)
    assert opened.find_element(By.ID, "timeline").text != before
    row = opened.find_element(By.CSS_SELECTOR, "#timeline tr.row")
    row.click()
    (why,) = opened.find_elements(By.CSS_SELECTOR, "#timeline tr.why")
    assert why.text.startswith("found by ")
    row.send_keys(Keys.ENTER)
    assert not opened.find_elements(By.CSS_SELECTOR, "#timeline tr.why")


def test_markup_in_texts_is_shown_and_never_run(opened: webdriver.Chrome) -> None:
    assert EVIL in opened.find_element(By.CSS_SELECTOR, "#timeline tr.module").text
    assert not opened.find_elements(By.CSS_SELECTOR, "#timeline img")


def test_figures_take_the_colours_of_the_dark(opened: webdriver.Chrome) -> None:
    def paper() -> str:
        return str(opened.execute_script("return getComputedStyle(document.body).backgroundColor"))

    def figure() -> str:
        return str(opened.execute_script("return document.querySelector('[data-figure]').layout.paper_bgcolor"))

    seen = {}
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        seen[scheme] = paper(), figure()
    assert seen["light"][0] != seen["dark"][0]
    assert seen["light"][1] != seen["dark"][1]
