import Foundation
import Fuzzing
import Testing

/// A few hundred mutated inputs of every reader; `make fuzz` reads a million of each.
@Suite struct FuzzTests {
  @Test(
    "mutated inputs are read or refused in one line, and written text means what it was given",
    arguments: FuzzReader.all.map(\.name))
  func mutations(name: String) throws {
    let reader = try #require(FuzzReader.all.first { $0.name == name })
    for number in 0..<300 {
      do { try reader.run(reader.input(seed: 1, number)) } catch {
        Issue.record(
          "\(name), input \(number) of seed 1: \(error); again: attnlab-fuzz \(name) --only \(number)")
        return
      }
    }
  }

  @Test("the page of the documentation names every reader")
  func page() throws {
    let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let file = package.appendingPathComponent("Sources/AttentionLab/Documentation.docc/Reference/fuzz.md")
    let text = try String(contentsOf: file, encoding: .utf8)
    let named = text.matches(of: /\n\| `(\w+)` \|/).map { String($0.output.1) }
    #expect(named == FuzzReader.all.map(\.name))
  }

  @Test("an input is the same whatever came before it, and another seed gives another")
  func inputs() {
    for reader in FuzzReader.all {
      let some = (0..<20).map { reader.input(seed: 3, $0) }
      #expect((0..<20).reversed().map { reader.input(seed: 3, $0) } == some.reversed())
      #expect(some != (0..<20).map { reader.input(seed: 4, $0) })
      #expect(Set(some).count > 10)
    }
  }
}
