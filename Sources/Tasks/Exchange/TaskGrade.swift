import ArrayFiles
import Basics
import Settings

/// How many of a task's answers another program got right.
public struct TaskGrade: Hashable, Sendable {
  /// Answers that are scored.
  public private(set) var answers = 0
  /// Those that are right.
  public private(set) var right = 0
  /// Examples.
  public private(set) var examples = 0
  /// Those whose every answer is right.
  public private(set) var wholeExamples = 0

  private init() {}

  /// Adds an example.
  private mutating func add(_ marks: [Bool]) {
    guard !marks.isEmpty else { return }
    examples += 1
    answers += marks.count
    right += marks.reduce(0) { $0 + ($1 ? 1 : 0) }
    wholeExamples += marks.allSatisfy { $0 } ? 1 : 0
  }

  /// Compares arrays.
  ///
  /// Answers are whole numbers of the shape of the targets or labels, or the scored ones of every row in order, `[examples, k]`; or
  /// logits with one more axis, of which the largest counts (the first of equals).
  /// - Parameters:
  ///   - answers: the answers.
  ///   - path: their file, for error texts.
  ///   - examples: the arrays of `TaskExamples`.
  /// - Throws: `UsageError` for another shape or another file.
  public init(of answers: NpyArray, _ path: String, to examples: NpzArchive) throws(UsageError) {
    guard let expected = examples["labels"] ?? examples["targets"], let targets = expected.integers else {
      throw UsageError("no targets and no labels among the examples: a file of attnlab task --out is needed")
    }
    let rows = expected.shape.first ?? 0, width = expected.shape.count > 1 ? expected.shape[1] : 1
    let scored = (0..<rows).map { row in (0..<width).filter { targets[row * width + $0] >= 0 } }
    let counts = Set(scored.map(\.count))
    let given: [Int64], isCompact: Bool
    if let integers = answers.integers {
      isCompact = answers.shape != expected.shape
      guard !isCompact || (counts.count == 1 && answers.shape == [rows, counts.first ?? 0]) else {
        let other = counts.count == 1 ? " or [\(rows), \(counts.first ?? 0)]" : ""
        throw UsageError("\(path): shape \(answers.shape); \(expected.shape)\(other) is needed, or logits")
      }
      given = integers
    } else {
      isCompact = false
      guard answers.shape.dropLast() == expected.shape[...], let classes = answers.shape.last, classes > 0
      else {
        throw UsageError(
          "\(path): shape \(answers.shape); logits have that of the targets, \(expected.shape), and one axis more"
        )
      }
      given = Self.largest(answers.doubles, of: classes)
    }
    self.init()
    for row in 0..<rows {
      add(
        scored[row].enumerated().map { number, place in
          given[isCompact ? row * scored[row].count + number : row * width + place]
            == targets[row * width + place]
        })
    }
  }

  private static func largest(_ values: [Double], of classes: Int) -> [Int64] {
    stride(from: 0, to: values.count, by: classes).map { start in
      var best = start
      for place in start..<start + classes where values[place] > values[best] || values[best].isNaN {
        best = place
      }
      return values[best].isNaN ? -1 : Int64(best - start)
    }
  }

  /// Compares texts: an answer is right when its text stands somewhere in the prediction, whatever the case (RULER's
  /// `string_match_all`).
  /// - Parameters:
  ///   - predictions: lines of JSON with `index` and `prediction` (or `pred`).
  ///   - path: their file, for error texts.
  ///   - examples: the lines of `TaskExamples`.
  ///   - examplesPath: their file.
  /// - Throws: `UsageError` for a line that is not such a thing, or a prediction for no example; examples without a prediction
  ///   count as wrong.
  public init(
    ofLines predictions: String, _ path: String, to examples: String, _ examplesPath: String
  ) throws(UsageError) {
    var said: [Int: String] = [:]
    for (line, value) in try Self.lines(predictions, path) {
      guard let index = value["index"].wholeValue,
        let text = (value["prediction"].stringValue ?? value["pred"].stringValue)
      else { throw UsageError("\(path): line \(line): \"index\" and \"prediction\" are needed") }
      guard said.updateValue(text.lowercased(), forKey: index) == nil else {
        throw UsageError("\(path): line \(line): index \(index) stands there twice")
      }
    }
    self.init()
    for (line, value) in try Self.lines(examples, examplesPath) {
      let outputs = value["outputs"].arrayValue.compactMap(\.stringValue)
      guard let index = value["index"].wholeValue, !outputs.isEmpty else {
        throw UsageError("\(examplesPath): line \(line): \"index\" and \"outputs\" are needed")
      }
      let text = said.removeValue(forKey: index) ?? ""
      add(outputs.map { Self.contains(text, $0.lowercased()) })
    }
    if let other = said.keys.min() {
      throw UsageError("\(path): index \(other) is no example of \(examplesPath)")
    }
  }

  /// Whether a text has an answer in it; a number only as a whole, since 12 is not in 123.
  private static func contains(_ text: String, _ answer: String) -> Bool {
    guard answer.allSatisfy({ $0.isASCII && $0.isNumber }) else { return text.contains(answer) }
    return text.split { !($0.isASCII && $0.isNumber) }.contains { $0 == answer }
  }

  private static func lines(_ text: String, _ path: String) throws(UsageError) -> [(
    line: Int, value: JSONValue
  )] {
    var found: [(line: Int, value: JSONValue)] = []
    for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
    where !line.allSatisfy(\.isWhitespace) {
      do { found.append((number + 1, try JSONValue(parsing: String(line)))) } catch {
        throw UsageError("\(path): line \(number + 1): \(error)")
      }
    }
    return found
  }

  /// The shares and their intervals, as JSON.
  public var json: JSONValue {
    func share(_ part: Int, _ whole: Int) -> JSONValue {
      guard whole > 0 else { return .null }
      let p = Double(part) / Double(whole), interval = Wilson.interval(share: p, count: Double(whole))
      return .object(["share": .double(p), "low": .double(interval.low), "high": .double(interval.high)])
    }
    return .object([
      "answers": .int(answers), "right": .int(right), "accuracy": share(right, answers),
      "examples": .int(examples), "examples_right": .int(wholeExamples),
      "exact_match": share(wholeExamples, examples),
    ])
  }

  /// The same in words, a line each.
  public var text: String {
    func line(_ part: Int, _ whole: Int, _ noun: String) -> String {
      guard whole > 0 else { return "no \(noun) is scored" }
      let p = Double(part) / Double(whole), interval = Wilson.interval(share: p, count: Double(whole))
      let bounds = "[\(Quantity.significant(interval.low, 3)), \(Quantity.significant(interval.high, 3))]"
      return "\(part) of \(counted(whole, noun)) right: \(Quantity.significant(p, 3)) \(bounds)"
    }
    return [
      line(right, answers, "answer"), line(wholeExamples, examples, "example") + ", every answer of it",
      "(Wilson's 95 % intervals, as if independent)",
    ].joined(separator: "\n")
  }
}
