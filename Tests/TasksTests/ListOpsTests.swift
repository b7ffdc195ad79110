import Basics
import Tensors
import Testing

@testable import Tasks

/// Evaluates an expression from its words with an explicit stack: written apart from the generator.
private func evaluate(_ words: [String]) -> Int? {
  var stack: [(name: String, arguments: [Int])] = []
  var result: Int?
  func give(_ value: Int) {
    if stack.isEmpty { result = value } else { stack[stack.count - 1].arguments.append(value) }
  }
  for word in words {
    guard result == nil else { return nil }
    if let digit = Int(word) {
      give(digit)
    } else if word == "]" {
      guard let (name, arguments) = stack.popLast(), arguments.count >= 2 else { return nil }
      switch name {
      case "[MIN": give(arguments.reduce(9) { min($0, $1) })
      case "[MAX": give(arguments.reduce(0) { max($0, $1) })
      case "[SM": give(arguments.reduce(0) { ($0 + $1) % 10 })
      default:
        // NumPy's median is the middle value, or the mean of the two; int() drops the half.
        var left = arguments
        while left.count > 2 {
          left.remove(at: left.firstIndex(of: left.max() ?? 0) ?? 0)
          left.remove(at: left.firstIndex(of: left.min() ?? 0) ?? 0)
        }
        give(left.reduce(0, +) / left.count)
      }
    } else {
      stack.append((word, []))
    }
  }
  return stack.isEmpty ? result : nil
}

private func words(_ tokens: [Int32]) -> [String] {
  tokens.map { token in
    switch token {
    case 1...10: "\(token - 1)"
    case 11...14: ["[MIN", "[MAX", "[MED", "[SM"][Int(token) - 11]
    default: "]"
    }
  }
}

@Suite struct ListOpsTests {
  func make(_ minimum: Int, _ maximum: Int, depth: Int = 10, arguments: Int = 10) throws -> ListOps {
    var c = ListOps.Configuration()
    (c.minimum, c.maximum, c.depth, c.arguments) = (minimum, maximum, depth, arguments)
    return try ListOps(c, key: RandomKey(seed: 4))
  }

  @Test func theEvaluatorOfTheTestsKnowsTheOperators() {
    #expect(evaluate("[MAX 2 9 [MIN 4 7 ] 0 ]".split(separator: " ").map(String.init)) == 9)
    #expect(evaluate("[MED 1 2 9 8 ]".split(separator: " ").map(String.init)) == 5)
    #expect(evaluate("[MED 5 8 ]".split(separator: " ").map(String.init)) == 6)
    #expect(evaluate("[SM 9 9 [MED 3 1 2 ] ]".split(separator: " ").map(String.init)) == 0)
  }

  @Test(arguments: [(3, 20, 3, 3), (20, 100, 10, 10), (100, 400, 6, 10), (500, 2000, 10, 10)])
  func labelsAreTheValues(minimum: Int, maximum: Int, depth: Int, arguments: Int) throws {
    let task = try make(minimum, maximum, depth: depth, arguments: arguments)
    var generator = RandomKey(seed: 9).generator()
    for _ in 0..<(maximum > 1000 ? 4 : 40) {
      let example = try task.example(&generator)
      #expect(example.inputs.count > minimum && example.inputs.count < maximum)
      let expression = words(example.inputs)
      #expect(evaluate(expression) == Int(example.label), "\(expression.joined(separator: " "))")
      var level = 0, deepest = 0
      var counts: [Int] = [0]
      for word in expression {
        if word.hasPrefix("[") {
          level += 1
          counts[counts.count - 1] += 1
          counts.append(0)
        } else if word == "]" {
          level -= 1
          let last = counts.removeLast()
          #expect(last >= 2 && last <= arguments)
        } else {
          counts[counts.count - 1] += 1
          deepest = max(deepest, level + 1)
        }
      }
      #expect(deepest <= depth)
    }
  }

  /// The law of the tree where it can be counted: at depth limit 2 the root's arguments are digits.
  @Test func operatorsAndArgumentCountsAreUniform() throws {
    let task = try make(3, 100, depth: 2)
    var operators = [Int](repeating: 0, count: 4), lengths = [Int](repeating: 0, count: 9)
    var generator = RandomKey(seed: 2).generator()
    let draws = 4000
    for _ in 0..<draws {
      let tokens = try task.example(&generator).inputs
      operators[Int(tokens[0]) - 11] += 1
      lengths[tokens.count - 4] += 1
    }
    func statistic(_ counts: [Int]) -> Double {
      let expected = Double(draws) / Double(counts.count)
      return counts.reduce(0) { $0 + (Double($1) - expected) * (Double($1) - expected) / expected }
    }
    // The 0.999 quantiles of chi-square with 3 and 8 degrees of freedom.
    #expect(statistic(operators) < 16.3, "\(operators)")
    #expect(statistic(lengths) < 26.1, "\(lengths)")
  }

  @Test func impossibleLengthsAreOneClearLine() throws {
    #expect {
      try make(100, 101)
    } throws: {
      "\($0)".contains("at least minimum + 2 = 102")
    }
    let task = try make(50, 100, depth: 2)
    #expect {
      try task.batch(split: .train, index: 0, batchSize: 1)
    } throws: {
      "\($0)".contains("depth 2 and 10 arguments")
    }
  }
}
