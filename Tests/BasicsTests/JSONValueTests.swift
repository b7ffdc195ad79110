import Basics
import LabTestSupport
import Mutation
import Testing

@Suite struct JSONValueTests {
  @Test func keepsOrderAndDropsWhatIsNoNumber() {
    let value = JSONValue.object([
      "b": .double(.nan), "a": .array([.int(1), .string("x\n\"\u{1}")]), "c": .bool(true),
    ])
    #expect(value.compact == #"{"b": null, "a": [1, "x\n\"\u0001"], "c": true}"#)
  }

  @Test func readsWhatItWrites() throws {
    let value = JSONValue.object([
      "z": .double(0.1), "b": .int(.min), "c": .bool(false), "d": .null, "e": .array([]), "f": .object([]),
      "g": .string("ä\u{1F600}\u{8}\u{C}\u{1F}/\\\""), "h": .double(1e300),
      "i": .array([.bool(true), .int(0)]),
    ])
    for text in [value.pretty, value.compact] { #expect(try JSONValue(parsing: text) == value) }
  }

  @Test(
    "numbers",
    arguments: [
      ("0", .int(0)), ("-0", .int(0)), ("12", .int(12)), ("9223372036854775807", .int(.max)),
      ("9223372036854775808", .double(0x1p63)), ("1.0", .double(1)), ("1e2", .double(100)),
      ("-1.5E-3", .double(-0.0015)), ("5e-324", .double(.leastNonzeroMagnitude)),
    ] as [(String, JSONValue)])
  func numbers(text: String, value: JSONValue) throws { #expect(try JSONValue(parsing: text) == value) }

  @Test(
    "what the format does not allow is refused with its place",
    arguments: [
      ("", "no value at byte 0"), ("{\"a\":", "no value at byte 5"),
      ("{} x", "text after the value at byte 3"),
      ("{\"a", "a string without end at byte 3"), ("[1,]", "no value at byte 3"),
      ("01", "no value at byte 0"),
      ("+1", "no value at byte 0"), (".5", "no value at byte 0"),
      ("1.", "no digit after the point at byte 2"),
      ("1e", "no digit in the exponent at byte 2"), ("NaN", "no value at byte 0"),
      ("tru", "no value at byte 0"),
      ("'a'", "no value at byte 0"),
      ("\"\u{9}\"", "a control character in a string at byte 2"), ("\"\\x\"", "an unknown escape at byte 3"),
      ("\"\\ud800\"", "half a surrogate pair at byte 7"),
      ("\"\\u12g4\"", "no four hexadecimal digits at byte 3"),
    ])
  func refusals(text: String, problem: String) {
    let error = #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
    #expect(error?.description == "no valid JSON: \(problem)")
  }

  @Test(
    "JSON that is not read is not called invalid",
    arguments: [
      ("1e999", "the number 1e999 is beyond double precision at byte 5"),
      ("{\"a\": 1, \"a\": 2}", "the name a a second time at byte 12"),
      (
        String(repeating: "[", count: 257) + String(repeating: "]", count: 257),
        "more than 256 levels at byte 256"
      ),
    ])
  func validButNotRead(text: String, problem: String) {
    let error = #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
    #expect(error?.description == "JSON that is not read here: \(problem)")
  }

  @Test("4000 mutated texts: a value or one line", .timeLimit(.minutes(BodyTime.hangLimit)))
  func mutations() {
    let time = BodyTime()
    defer { #expect(time.seconds < 60) }
    let whole = #"{"a": [-3, 0.1, null, true, 1e-3], "b\u0041": {"c": "x\ud83d\ude00\n"}}"#
    var mutator = Mutator(seed: 43)
    for number in 0..<4000 {
      do { _ = try JSONValue(parsing: mutator.mutate(Array(whole.utf8))) } catch {
        #expect(error.position <= 2 * whole.utf8.count + 64, "mutation \(number) of seed 43: \(error)")
      }
    }
  }

  @Test func depthIsBounded() throws {
    func nested(_ depth: Int) -> String {
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
    _ = try JSONValue(parsing: nested(256))
    #expect(throws: JSONError.self) { try JSONValue(parsing: nested(257)) }
    #expect(throws: JSONError.self) { try JSONValue(parsing: nested(1_000_000)) }
  }

  @Test func typedReading() throws {
    let value = try JSONValue(
      parsing: #"{"n": 3, "x": 2.5, "w": 4.0, "s": "t", "b": true, "l": [1], "o": null}"#)
    #expect(value["n"].wholeValue == 3 && value["w"].wholeValue == 4 && value["x"].wholeValue == nil)
    #expect(value["x"].numberValue == 2.5 && value["n"].numberValue == 3 && value["b"].numberValue == nil)
    #expect(value["b"].boolValue == true && value["n"].boolValue == nil)
    #expect(value["s"].stringValue == "t" && value["l"].arrayValue == [.int(1)] && value["o"].isNull)
    #expect(value["missing"].isNull && value["n"].arrayValue.isEmpty && value.members.count == 7)
  }
}
