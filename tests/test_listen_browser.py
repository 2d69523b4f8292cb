"""The page in a real Chromium: search, open, press play, hear it, seek, save, and what the audit trail says of it."""

import hashlib
import io
from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from page import NUMBER, PASSWORD, Page, call_path
from playwright.sync_api import Browser, BrowserContext
from playwright.sync_api import Page as Tab

# Formats without a header, as FFmpeg must be told.
RAW = {"raw-ulaw": "mulaw", "raw-alaw": "alaw", "sln": "s16le", "g722": "g722"}
# A browser decodes what is played at the rate that it is asked for: the recording's own, so that nothing is resampled.
RATES = {"g722": 16_000, "opus": 48_000}
HEARD = ("pcm", "alaw", "ulaw", "ima", "msadpcm", "gsm", "mp3", "stereo", "raw-ulaw", "raw-alaw", "sln", "g722", "au",
         "opus", "flac", "aac")  # fmt: skip
DECODE = """async ([source, rate]) => {
  const bytes = await (await fetch(source)).arrayBuffer();
  const sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes);
  return [...Array(sound.numberOfChannels).keys()].map((one) => Array.from(sound.getChannelData(one)));
}"""


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser that has seen nothing yet; what it complains of is an error."""
    context = browser.new_context()
    context.set_default_timeout(30_000)
    yield context
    context.close()


Enter = Callable[[str, tuple[str, ...]], Tab]


@pytest.fixture
def enter(page: Page, context: BrowserContext) -> Iterator[Enter]:
    """Log in by the form; a script that fails, or that the page's own policy refuses, fails the test."""
    complaints: list[str] = []

    def entered(name: str, roles: tuple[str, ...]) -> Tab:
        page.person(name, roles)
        tab = context.new_page()
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
        tab.goto(f"{page.base}/login")
        tab.fill("[name=name]", name)
        tab.fill("[name=password]", PASSWORD)
        tab.click("button.primary")
        tab.wait_for_selector(".bar")
        return tab

    yield entered
    assert complaints == []


def decoded(name: str, content: bytes) -> NDArray[np.float64]:
    """The original's samples, a row a channel, as FFmpeg decodes them when it is told what they are."""
    options = {"sample_rate": "8000"} if name in ("raw-ulaw", "raw-alaw", "sln") else {}
    with av.open(io.BytesIO(content), format=RAW.get(name), options=options) as file:
        stream = file.streams.audio[0]
        layout = "stereo" if stream.codec_context.channels > 1 else "mono"
        plain = av.AudioResampler(format="s16p", layout=layout, rate=stream.codec_context.sample_rate)
        pieces = [ready.to_ndarray() for frame in file.decode(stream) for ready in plain.resample(frame)]
    return np.concatenate(pieces, axis=1) / 32768


def opened(tab: Tab, page: Page, name: str) -> None:
    """Open a call, and wait for its waveform."""
    tab.goto(page.base + call_path("shop", name))
    tab.wait_for_selector(".player[data-ready]")
    assert tab.get_attribute(".player", "data-ready") == "yes"


def moment(tab: Tab) -> float:
    """Where the sound is, in seconds."""
    return float(tab.evaluate("document.querySelector('audio').currentTime"))


def plays(tab: Tab, *, beyond: float = 0.0) -> None:
    """Wait until the sound has gone on."""
    tab.wait_for_function("(beyond) => document.querySelector('audio').currentTime > beyond", arg=beyond + 0.25)


def test_a_call_is_searched_opened_heard_and_saved_and_all_of_it_is_on_record(page: Page, enter: Enter) -> None:
    tab = enter("browser-supervisor", ("supervisor",))
    before = len(page.rows())
    tab.fill("[name=number]", "+86 153 7238 8463")
    tab.click("#search button.primary")
    tab.wait_for_selector("#total")
    assert tab.get_attribute("#total", "data-total") == "17"
    assert NUMBER not in tab.url
    tab.locator("a.row").nth(-3).click()
    tab.wait_for_selector(".player[data-ready=yes]")
    tab.click("[data-do=play]")
    plays(tab)
    tab.click("[data-do=play]")
    assert tab.evaluate("document.querySelector('audio').paused")
    with tab.expect_download() as saved:
        tab.click("form[action$=download] button")
    content = saved.value.path().read_bytes()
    shown = tab.locator("code").first.inner_text()
    assert hashlib.sha256(content).hexdigest() == shown
    assert NUMBER in saved.value.suggested_filename
    tab.click("form[action$=unmask] button")
    tab.wait_for_selector(".shown-note")
    assert NUMBER in tab.inner_text(".call-number")
    entries = [row.entry for row in page.rows()[before:]]
    assert [entry.action for entry in entries] == ["search", "open", "play", "download", "unmask"]
    assert {entry.actor for entry in entries} == {"browser-supervisor"}
    assert NUMBER not in str(entries)


@pytest.mark.parametrize("some", [HEARD[:8], HEARD[8:]], ids=["telephony", "others"])
def test_what_is_heard_is_what_was_recorded(page: Page, enter: Enter, some: tuple[str, ...]) -> None:
    tab = enter("browser-listener", ("listener",))
    wrong = {}
    for name in some:
        opened(tab, page, name)
        tab.click("[data-do=play]")
        plays(tab)
        source = tab.evaluate("document.querySelector('audio').currentSrc")
        heard = np.array(tab.evaluate(DECODE, [source, RATES.get(name, 8000)]))
        original = decoded(name, page.recordings[f"shop/{name}"].content)
        if heard.shape != original.shape or np.abs(heard - original).max() > 2 / 32768:
            wrong[name] = (heard.shape, original.shape)
    assert wrong == {}


def test_one_can_go_to_any_place_and_share_it(page: Page, enter: Enter) -> None:
    tab = enter("browser-seeker", ("listener",))
    opened(tab, page, "alaw")
    box = tab.locator(".wave").bounding_box()
    assert box
    tab.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + 20)
    assert 1.3 < float(tab.get_attribute(".wave", "aria-valuenow") or 0) < 1.7
    tab.click("[data-do=play]")
    plays(tab, beyond=1.4)
    tab.click("[data-do=play]")
    tab.keyboard.press("m")
    assert "#t=" in tab.url
    tab.locator("body").press("Home")
    assert moment(tab) == 0
    tab.keyboard.press("ArrowRight")
    assert moment(tab) == pytest.approx(3, abs=0.05)
    tab.keyboard.press("ArrowLeft")
    assert moment(tab) == 0
    tab.keyboard.press("]")
    assert tab.evaluate("document.querySelector('audio').playbackRate") == 1.25
    tab.select_option(".speed select", "2")
    assert tab.evaluate("document.querySelector('audio').playbackRate") == 2
    tab.goto("about:blank")
    tab.goto(f"{page.base}{call_path('shop', 'alaw')}#t=2.5")
    tab.wait_for_selector(".player[data-ready=yes]")
    tab.click("[data-do=play]")
    plays(tab, beyond=2.25)


EAR = """async (channel) => {
  const audio = document.querySelector("audio");
  const player = Player.active;
  player.hear(channel);
  const ear = player.context.createAnalyser();
  const ears = player.context.createChannelSplitter(2);
  player.merger.connect(ears);
  ears.connect(ear, channel === "left" ? 1 : 0);
  audio.currentTime = 0.2;
  await audio.play();
  ear.fftSize = 4096;
  await new Promise((done) => { audio.ontimeupdate = () => audio.currentTime > 1.2 && done(); });
  const levels = new Uint8Array(ear.frequencyBinCount);
  ear.getByteFrequencyData(levels);
  audio.pause();
  return (levels.indexOf(Math.max(...levels)) * player.context.sampleRate) / ear.fftSize;
}"""


def test_the_two_sides_of_a_stereo_recording_are_heard_apart(page: Page, enter: Enter) -> None:
    """The left side hums at 300 Hz and rises, the right one at 500 Hz; each is then on both ears."""
    tab = enter("browser-stereo", ("listener",))
    opened(tab, page, "stereo")
    assert tab.is_visible(".channels")
    tab.click("[data-do=play]")
    plays(tab)
    left, right = (float(tab.evaluate(EAR, side)) for side in ("left", "right"))
    assert left == pytest.approx(430, abs=110)
    assert right == pytest.approx(630, abs=110)
    opened(tab, page, "alaw")
    assert not tab.is_visible(".channels")


def test_who_may_not_sees_no_button_and_is_refused_and_written_down(page: Page, enter: Enter) -> None:
    tab = enter("browser-refused", ("listener",))
    opened(tab, page, "alaw")
    assert tab.locator("form[action$=download], form[action$=unmask]").count() == 0
    tab.goto(f"{page.base}/audit")
    assert "没有权限" in tab.inner_text("main")
    assert page.rows(actor="browser-refused")[-1].entry.action == "refused"


def test_a_copy_that_differs_from_the_source_is_withheld_and_said(page: Page, enter: Enter) -> None:
    recorded = page.recordings["bank/ulaw"]
    file = page.folder / "bank-audio" / recorded.document["key"]
    file.chmod(0o644)
    file.write_bytes(recorded.content[:-1] + b"\0")
    tab = enter("browser-damaged", ("supervisor",))
    page.person("browser-damaged", ("supervisor",), ("bank",))
    tab.goto(page.base + call_path("bank", "ulaw"))
    tab.wait_for_selector(".player[data-ready=no]")
    assert "不一致" in tab.inner_text(".say")
    tab.click("form[action$=download] button")
    tab.wait_for_selector(".sorry")
    assert "不一致" in tab.inner_text(".sorry")


def test_the_pages_speak_english_and_fit_a_telephone(page: Page, browser: Browser, enter: Enter) -> None:
    tab = enter("browser-english", ("supervisor",))
    tab.click(".language button")
    tab.wait_for_selector("html[lang=en]")
    tab.set_viewport_size({"width": 400, "height": 800})
    for path in ("/calls", call_path("shop", "stereo"), "/password"):
        tab.goto(page.base + path)
        widths: Any = tab.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1], path
        unnamed = tab.evaluate(
            "[...document.querySelectorAll('button, input:not([type=hidden]), select, a')].filter((one) => "
            "one.checkVisibility() && !(one.ariaLabel || one.innerText || one.labels?.length || one.title))"
            ".map((one) => one.outerHTML)"
        )
        assert unnamed == [], path
