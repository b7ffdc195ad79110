import AttentionCore
import Basics
import Settings
import Tensors
import Testing

@testable import Attention

/// The language of `custom`: what it means, what it refuses, and that its fast ways say what the slow one says.
@Suite struct CustomTests {
  static func pair(_ i: Int, _ j: Int, _ h: Int = 0, _ n: Int = 10) -> PairExpression.Pair {
    .init(i: i, j: j, h: h, n: n)
  }

  @Test(
    "an expression has the value that its text says",
    arguments: [
      ("i - j < 10 || j % 3 == 0", 20, 4, 0), ("i - j < 10 || j % 3 == 0", 20, 3, 1),
      ("1 + 2 * 3 - 4", 0, 0, 3), ("-7 / 2", 0, 0, -4), ("-7 // 2", 0, 0, -4), ("-7 % 3", 0, 0, 2),
      ("7 % -3", 0, 0, -2), ("7 / -2", 0, 0, -4), ("2 - 3 - 4", 0, 0, -5), ("12 / 2 / 3", 0, 0, 2),
      ("!0 + !5", 0, 0, 1), ("! i == 1", 0, 0, 1), ("0 <= i - j < 3", 5, 3, 1), ("0 <= i - j < 2", 5, 3, 0),
      ("abs(i - j)", 2, 9, 7), ("min(i, j, 1)", 2, 9, 1), ("max(i, j)", 2, 9, 9), ("true && !false", 0, 0, 1),
      ("2 && 3", 0, 0, 1), ("0 || 7", 0, 0, 1), ("j == 0 || i % j == 1", 7, 0, 1),
      ("j != 0 && i / j == 3", 7, 0, 0), ("1 || 1 / 0", 0, 0, 1), ("n - h", 0, 0, 10), ("--3", 0, 0, 3),
      ("1 || 0 && 0", 0, 0, 1), ("i>=j&&i<=j", 4, 4, 1), ("-9223372036854775807 - 1", 0, 0, .min),
      ("(0 - 9223372036854775807 - 1) % -1", 0, 0, 0),
    ])
  func values(text: String, i: Int, j: Int, value: Int) throws {
    #expect(try PairExpression(parsing: text).value(at: Self.pair(i, j)) == value)
  }

  @Test(
    "a mistake is named with its column",
    arguments: [
      ("", "column 1: it ends where a value should stand"), ("i -", "column 4: it ends where a value"),
      ("i - < 3", "column 5: < where a value should stand"),
      ("i = j", "column 3: a single =; to compare write =="),
      ("i & j", "column 3: a single &; write &&"), ("i j", "column 3: j where an operator should stand"),
      ("2i < 3", "column 1: 2i is no number; * may be missing"), ("k < 3", "column 1: k is no name"),
      ("(i < 3", "column 7: it ends where ) should stand"), ("i < 3)", "column 6: ) where an operator"),
      ("i ^ 2", "column 3: ^ is no operator"), ("i < 0.5", "column 6: a point; numbers are whole"),
      ("abs(i, j) < 1", "column 1: abs takes one value"), ("min(i)", "column 1: min takes two values"),
      ("i and j", "column 3: and where an operator should stand"), ("not i", "column 1: write ! for not"),
      ("i(3)", "column 1: i is no function"),
      ("99999999999999999999", "column 1: 99999999999999999999 is a number beyond"),
      ("i ≤ j", "column 3: write <= for ≤"), ("sqrt(i)", "column 1: sqrt is no name"),
      ("i ; j", "column 3: ; means nothing"),
      (String(repeating: "(", count: 60), "nested more than 50 deep"),
      (String(repeating: "i+", count: 600) + "i", "longer than 1000 bytes"),
    ])
  func mistakes(text: String, message: String) {
    let error = #expect(throws: ConfigurationError.self) {
      try CustomAttention.Configuration(settings: ["expression": .string(text)])
    }
    let line = error?.description ?? ""
    #expect(line.contains(message) && line.contains("it takes i (query), j (key)"), "\(line)")
    #expect(!line.contains("\n"))
  }

  @Test(
    "what has no count at some pair is refused with that pair, and only where the pair is asked for",
    arguments: [
      ("i / j == 0", "column 3: a division by 0 at i = 0, j = 0"),
      ("i % (j - 3) == 0", "a division by 0 at i = 0, j = 3"),
      ("i - j", "it is -1 at i = 0, j = 1"), ("300", "it is 300 at i = 0, j = 0"),
      ("(i + 1) * 9223372036854775807 > 0", "column 9: a number beyond 64 bits at i = 1, j = 0"),
      ("abs(0 - 9223372036854775807 - 1) > i", "column 1: a number beyond 64 bits at i = 0, j = 0"),
    ])
  func pairsWithoutCount(text: String, message: String) throws {
    let shape = try AttentionShape(queryLength: 5, headDim: 4)
    let error = #expect(throws: ConfigurationError.self) {
      try CustomAttention.make(settings: ["expression": .string(text)], shape: shape, key: RandomKey(seed: 1))
    }
    #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
  }

  @Test("a causal shape does not ask for its future, nor && and || for what does not matter")
  func notAsked() throws {
    let causal = try AttentionShape(queryLength: 130, headDim: 4, isCausal: true)
    // Divides by 0 at j = i + 1.
    let future = CustomAttention.Configuration(expression: "3 / (i - j + 1) >= 1")
    #expect(try CustomAttention(future, for: causal, key: RandomKey(seed: 1)).pattern.lists.count == 1)
    let both = try AttentionShape(queryLength: 130, headDim: 4)
    let guarded = CustomAttention.Configuration(expression: "j == 0 || (j > 100 && i / (j - 100) == 1)")
    _ = try CustomAttention(guarded, for: both, key: RandomKey(seed: 1))
    #expect(throws: ConfigurationError.self) {
      _ = try CustomAttention(future, for: both, key: RandomKey(seed: 1))
    }
  }

  // MARK: - Random expressions

  /// An expression of the grammar, often without a value somewhere.
  static func random(_ depth: Int, _ generator: inout RandomGenerator) -> String {
    func inner() -> String { random(depth - 1, &generator) }
    guard depth > 0 else {
      return ["i", "j", "h", "n", "0", "1", "3", "7", "64", "4611686018427387904"][
        generator.integer(below: 10)]
    }
    let operators = [
      "+", "-", "*", "/", "%", "<", "<=", ">", ">=", "==", "!=", "&&", "||", "-", "<", "&&", "||",
    ]
    switch generator.integer(below: 10) {
    case 0: return "abs(\(inner()))"
    case 1: return "!\(inner().contains(" ") ? "(\(inner()))" : inner())"
    case 2: return "\(["min", "max"][generator.integer(below: 2)])(\(inner()), \(inner()))"
    case 3: return "(\(inner()) <= \(inner()) < \(inner()))"
    default: return "(\(inner()) \(operators[generator.integer(below: operators.count)]) \(inner()))"
    }
  }

  @Test("blocks and bounds say what single pairs say, in 3000 random expressions")
  func randomExpressions() throws {
    var generator = RandomKey(seed: 19)("expressions").generator()
    var decided = 0, refused = 0
    for number in 0..<3000 {
      let text = Self.random(1 + generator.integer(below: 3), &generator)
      let expression = try PairExpression(parsing: text)
      let first = generator.integer(below: 200) - 20, step = 1 + generator.integer(below: 3)
      let start = generator.integer(below: 90), keys = start..<start + 1 + generator.integer(below: 9)
      let rows = 1 + generator.integer(below: 5), count = 100
      var block = PairBlock(
        first: first, step: step, rows: rows, keys: keys, isCausal: generator.integer(below: 2) == 0)
      var expected: [UInt8] = []
      var problem: String?
      let last = block.position(rows - 1)
      let bounds = expression.bounds(
        over: .init(i: first...last, j: keys.lowerBound...keys.upperBound - 1, h: 1, n: count))
      decided += bounds == nil ? 0 : 1
      for lane in 0..<rows {
        for key in keys {
          let pair = Self.pair(block.position(lane), key, 1, count)
          let value = try? expression.value(at: pair)
          if let bounds { #expect(value.map(bounds.contains) == true, "\(number): \(text) at \(pair)") }
          guard block.keys(of: lane).contains(key), problem == nil else { continue }
          do { expected.append(UInt8(try expression.count(at: pair))) } catch { problem = "\(error)" }
        }
      }
      var counts = ExpressionCounts(expression, head: 1, keys: count)
      do {
        try counts.fill(&block)
        #expect(problem == nil, "\(number): \(text): \(problem ?? "")")
        let found = (0..<rows).flatMap { lane in
          block.keys(of: lane).map { block.counts[lane * PairBlock.width + $0 - keys.lowerBound] }
        }
        #expect(found == expected, "\(number): \(text)")
        if let common = counts.commonCount(queries: first...last, keys: keys) {
          #expect(found.allSatisfy { $0 == UInt8(common) }, "\(number): \(text)")
        }
      } catch {
        refused += 1
        #expect(problem == "\(error)", "\(number): \(text)")
      }
    }
    #expect(decided > 1000 && refused > 200, "\(decided) with bounds, \(refused) refused")
  }

  @Test("a chain of comparisons within another costs no more than its length")
  func nestedChains() throws {
    let text = (0..<49).reduce("i") { inner, _ in "0<(\(inner))<2" }
    let expression = try PairExpression(parsing: text)
    #expect(try expression.value(at: Self.pair(1, 0)) == 1)
    #expect(expression.bounds(over: .init(i: 0...5, j: 0...5, h: 0, n: 6)) == 0...1)
  }

  // MARK: - The variant

  @Test("the pairs of a window and of a dilated one, forward and backward, with the same output")
  func windows() throws {
    let context = ExecutionContext(threads: 2)
    for isCausal in [false, true] {
      let shape = try AttentionShape(
        batch: 2, queryHeads: 2, queryLength: 150, headDim: 8, isCausal: isCausal, keyLengths: [150, 77])
      let key = RandomKey(seed: 4)
      let inputs = Operands(
        query: try .normal(shape.queryShape, key: key("q")), key: try .normal(shape.keyShape, key: key("k")),
        value: try .normal(shape.valueShape, key: key("v")))
      for (expression, window) in [
        ("-20 <= i - j <= 20", SlidingWindow.Configuration(left: 20, right: 20)),
        ("abs(i - j) <= 30 && (i - j) % 3 == 0 || j < 2", .init(left: 10, right: 10, dilation: 3, sinks: 2)),
      ] {
        let custom = try CustomAttention(.init(expression: expression), for: shape, key: key)
        let written = try SlidingWindow(window, for: shape, key: key)
        #expect(custom.cost(of: .forward).neededPairs == written.cost(of: .forward).neededPairs)
        let (a, b) = (try custom.attend(inputs, in: context), try written.attend(inputs, in: context))
        let gradient = try Tensor.normal(shape.outputShape, key: key("do"))
        let (da, db) = (try a.backward(gradient, in: context), try b.backward(gradient, in: context))
        for (x, y) in [(a.output, b.output), (da.query, db.query), (da.key, db.key), (da.value, db.value)] {
          #expect(zip(x.array(), y.array()).allSatisfy { abs($0 - $1) < 1e-5 })
        }
      }
    }
  }

  @Test("a query that sees no key has output 0 and LSE −∞; one token alone is itself")
  func edges() throws {
    let context = ExecutionContext(threads: 1)
    for (length, expression) in [(1, "i == j"), (1, "i < j"), (70, "i > j && j < 0"), (3, "false")] {
      let shape = try AttentionShape(queryLength: length, headDim: 4)
      let key = RandomKey(seed: 9)
      let inputs = Operands(
        query: try .normal(shape.queryShape, key: key("q")), key: try .normal(shape.keyShape, key: key("k")),
        value: try .normal(shape.valueShape, key: key("v")))
      let variant = try CustomAttention(.init(expression: expression), for: shape, key: key)
      let result = try variant.attend(inputs, in: context)
      if expression == "i == j" {
        #expect(zip(result.output.array(), inputs.value.array()).allSatisfy { abs($0 - $1) <= 2 * $1.ulp })
      } else {
        #expect(result.output.array().allSatisfy { $0 == 0 })
        #expect(result.lse?.array().allSatisfy { $0 == -.infinity } == true)
      }
    }
  }

  @Test("a band of a long sequence is planned without looking at its pairs, a dense one of no end is refused")
  func longSequences() throws {
    let shape = try AttentionShape(queryLength: 1 << 17, headDim: 4, isCausal: true)
    let band = try CustomAttention(.init(expression: "i - j < 64"), for: shape, key: RandomKey(seed: 1))
    #expect(band.planBytes < 1 << 20)
    var counts = ExpressionCounts(try PairExpression(parsing: "i * j % 7 == 0"), head: 0, keys: 1 << 30)
    #expect(counts.commonCount(queries: 0...63, keys: 0..<64) == nil)
    counts.evaluated = 1 << 32
    var block = PairBlock(first: 0, step: 1, rows: 1, keys: 0..<1, isCausal: false)
    #expect(throws: ConfigurationError.self) { try counts.fill(&block) }
  }

  @Test(
    "spaces and line breaks of YAML make no other setting; text is quoted in a line of attention where it must be"
  )
  func text() throws {
    let folded = try CustomAttention.Configuration(settings: ["expression": .string(" i - j\n  < 10 ")])
    #expect(folded == .init(expression: "i - j < 10") && folded.summary == "expression=i - j < 10")
    for text in ["min(i, j) < 3 || j == 0", "i - j < 10", "(i", "a, b", "1"] {
      let layer = LayerAttention("custom", settings: ["expression": .string(text)])
      let line = "\(layer) x2, full"
      let read = try LayerAttention.parse(line)
      #expect(read == [layer, layer, LayerAttention("full")], "\(line)")
    }
    let plain = try LayerAttention.parse("custom(expression=min(i, j) < 3 || i - j < 10), full")
    #expect(plain[0].settings == ["expression": .string("min(i, j) < 3 || i - j < 10")])
  }
}
