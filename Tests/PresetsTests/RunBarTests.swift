import Synchronization
import Testing

@testable import Presets

@Suite("The bar of a run")
struct RunBarTests {
  private final class Screen: Sendable {
    let lines = Mutex<[String]>([])
    func show(_ line: String) { lines.withLock { $0.append(line) } }
    var last: String { lines.withLock { $0.last ?? "" } }
  }

  @Test("It says done and all, the time left, the cell and what that says of itself")
  func line() {
    let line = RunBar.line(done: 3, all: 12, name: "full n=64", detail: "step 2/9", secondsLeft: 61)
    #expect(line.hasPrefix("███········· 3/12  ") && line.hasSuffix(" left  full n=64  step 2/9"))
    #expect(RunBar.line(done: 0, all: 0, name: "", detail: "", secondsLeft: nil) == "············ 0/0")
  }

  @Test("What was done before counts; no time is named before anything has ended")
  func kept() {
    let screen = Screen()
    let items = ["a", "b"].map { RunBar.Item(id: $0, name: "cell \($0)", pace: "", effort: 1) }
    let bar = RunBar(items, kept: 2) { screen.show($0) }
    bar.draw()
    #expect(screen.last == "██████······ 2/4  cell a")
    bar.end("a")
    bar.draw()
    #expect(screen.last.hasPrefix("█████████··· 3/4  ") && screen.last.hasSuffix(" left  cell b"))
    bar.end("b")
    let before = screen.last
    bar.draw()
    #expect(screen.last == before)
  }

  @Test("A cell that knows its own end is the measure of those like it")
  func own() {
    let screen = Screen()
    let items = [("a", 1.0), ("b", 3)].map { RunBar.Item(id: $0.0, name: $0.0, pace: "", effort: $0.1) }
    let bar = RunBar(items, kept: 0) { screen.show($0) }
    bar.draw("half", secondsLeft: 100)
    // 100 s, and three times as much for the other.
    #expect(screen.last.contains("6 min 4"))
  }
}
