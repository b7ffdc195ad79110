import Settings
import Testing

/// Names of settings, however they are spelt.
@Suite struct ParameterSetTests {
  private struct Window: ParameterSet {
    var left = 1
    var right = 2
    var sharedMap = 3
    static let parameters: [Parameter<Self>] = [
      .integer("left", \.left, help: ""), .integer("right", \.right, help: ""),
      .integer("shared_map", \.sharedMap, help: ""),
    ]
    static let formerNames = ["both": "shared_map"]
  }

  @Test(
    "snake_case, kebab-case and former names are read; a window is both sides",
    arguments: [
      (["shared_map": 7], [1, 2, 7]), (["shared-map": 7], [1, 2, 7]), (["sharedMap": 7], [1, 2, 7]),
      (["both": 7], [1, 2, 7]), (["window": 8], [8, 8, 3]), (["left": 8], [8, 2, 3]),
    ])
  func spellings(given: [String: Int], expected: [Int]) throws {
    let window = try Window(settings: given.mapValues { .int($0) })
    #expect([window.left, window.right, window.sharedMap] == expected)
    #expect(!window.summary.contains("window"))
  }

  @Test(
    "Two names of one setting are refused",
    arguments: [
      (["window", "left"], "left: given twice, also as window is not allowed; it takes one of both"),
      (
        ["shared_map", "sharedMap"],
        "shared_map: given twice, also as sharedMap is not allowed; it takes one of both"
      ),
      (
        ["both", "shared_map"],
        "shared_map: given twice, also by its former name both is not allowed; it takes one of both"
      ),
    ])
  func twice(names: [String], message: String) {
    let settings = Dictionary(uniqueKeysWithValues: names.map { ($0, ParameterValue.int(1)) })
    let error = #expect(throws: ConfigurationError.self) { try Window(settings: settings) }
    #expect(error.map { "\($0)" } == message)
  }

  @Test("A set without sides has no window")
  func none() {
    struct Sides: ParameterSet {
      var left = 1
      static let parameters: [Parameter<Self>] = [.integer("left", \.left, help: "")]
    }
    #expect(throws: ConfigurationError.self) { try Sides(settings: ["window": .int(1)]) }
  }
}
