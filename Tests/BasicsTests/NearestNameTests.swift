import Basics
import Foundation
import Testing

@Suite("Names that are not known")
struct NearestNameTests {
  @Test(
    "The answer says what there is and what may have been meant",
    arguments: [
      ("lft", ["left", "right"], "left, right (did you mean left?)"),
      ("LEFT", ["left", "right"], "left, right (did you mean left?)"),
      ("dilation", ["left", "right"], "left, right"), ("x", [], ""),
      (
        "shared", ["hashes", "shared_query_key"], "hashes, shared_query_key (did you mean shared_query_key?)"
      ),
      (
        "querykey", ["chunk", "shared_query_key"], "chunk, shared_query_key (did you mean shared_query_key?)"
      ),
      (
        "head", ["key_heads", "headDim", "valueHeads"],
        "key_heads, headDim, valueHeads (did you mean headDim?)"
      ),
      ("rate", ["learning_rate", "dropoutRate"], "learning_rate, dropoutRate"),
      ("ed", ["shared_query_key"], "shared_query_key"),
      ("window", ["left", "right", "sinks"], "left, right, sinks (did you mean left, right?)"),
      ("n_heads", ["key_heads", "heads"], "key_heads, heads (did you mean heads?)"),
      ("slidng", ["luong", "sliding-window"], "luong, sliding-window (did you mean sliding-window?)"),
      ("lhs", ["lsh", "luong"], "lsh, luong (did you mean lsh?)"),
      ("size", ["sinks", "right"], "sinks, right"),
      ("lr", ["seed", "learning_rate"], "seed, learning_rate (did you mean learning_rate?)"),
      ("hidden-size", ["hidden", "width"], "hidden, width (did you mean width?)"),
      ("a\u{1B}[2", ["a\u{1B}[2J"], "a\\u{1B}[2J (did you mean a\\u{1B}[2J?)"),
    ])
  func answer(text: String, names: [String], expected: String) {
    #expect(choices(names, near: text) == expected)
  }

  @Test("The list is bounded")
  func bounded() {
    let names = (0..<200).map { "column\($0)" }
    #expect(choices(names, near: "y", limit: 2) == "column0, column1, … (200 in all)")
  }

  @Test("The question is asked in one place of the sources")
  func onePlace() throws {
    let sources = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../Sources").standardized
    let files = FileManager.default.enumerator(at: sources, includingPropertiesForKeys: nil)
    var askers: [String] = []
    for case let file as URL in try #require(files) where file.pathExtension == "swift" {
      let lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
      let code = lines.filter { !$0.contains("//") }
      if code.contains(where: { $0.contains("did you mean") }) { askers.append(file.lastPathComponent) }
    }
    #expect(askers == ["NearestName.swift"])
  }
}
