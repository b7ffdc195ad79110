import Basics
import Foundation
import Tensors
import Testing

@testable import AttentionCore

/// The definition in Double against sums worked out by hand, and against its own differences.
@Suite struct DefinitionTests {
  static func all(_: Int, _: Int, _: Int, _: Int) -> Int { 1 }

  @Sendable static func bias(_: Int, _ head: Int, _ query: Int, _ key: Int) -> Double {
    Double(head) * 0.3 - Double(query * key) * 0.1
  }

  @Sendable static func isGlobal(_ row: Int) -> Bool { row == 1 || row == 4 }

  @Test("one query, two keys, by hand")
  func byHand() throws {
    let shape = try AttentionShape(queryLength: 1, keyLength: 2, headDim: 1, scale: 1)
    let inputs = DefinitionInputs(query: [1], key: [0, log(3)], value: [10, 20])
    let definition = SoftmaxDefinition(shape: shape, multiplicity: Self.all)
    let result = definition.forward(inputs)
    #expect(abs(result.output[0] - 17.5) < 1e-12)
    #expect(abs(result.lse[0] - log(4)) < 1e-12)
    #expect(result.mostKeys == 2)
    // p = (1/4, 3/4), dP = (10, 20), D = 17.5: dS = (−1.875, 1.875).
    let gradient = definition.backward([1], inputs)
    #expect(abs(gradient.query[0] - 1.875 * log(3)) < 1e-12)
    #expect(abs(gradient.key[0] + 1.875) < 1e-12 && abs(gradient.key[1] - 1.875) < 1e-12)
    #expect(abs(gradient.value[0] - 0.25) < 1e-12 && abs(gradient.value[1] - 0.75) < 1e-12)
  }

  @Test("a multiplicity of 2 is the key written twice")
  func multiplicity() throws {
    let one = try AttentionShape(queryLength: 2, keyLength: 2, headDim: 2)
    let two = try AttentionShape(queryLength: 2, keyLength: 3, headDim: 2)
    let query = [0.3, -1, 2, 0.5]
    let twice = SoftmaxDefinition(shape: one, multiplicity: { _, _, _, key in key + 1 })
      .forward(DefinitionInputs(query: query, key: [1, 2, -1, 0.5], value: [1, 2, 3, 4]))
    let spelt = SoftmaxDefinition(shape: two, multiplicity: Self.all)
      .forward(DefinitionInputs(query: query, key: [1, 2, -1, 0.5, -1, 0.5], value: [1, 2, 3, 4, 3, 4]))
    for (a, b) in zip(twice.output + twice.lse, spelt.output + spelt.lse) { #expect(abs(a - b) < 1e-12) }
  }

  @Test("rows without keys: 0, −∞, gradient 0; padded keys: gradient 0")
  func emptyRows() throws {
    let shape = try AttentionShape(
      batch: 2, queryLength: 3, headDim: 2, isCausal: true, keyLengths: [0, 2])
    let values = (0..<12).map { Double($0 % 5) - 2 }
    let inputs = DefinitionInputs(query: values, key: values, value: values)
    let definition = SoftmaxDefinition(shape: shape, multiplicity: { _, _, i, j in j <= i ? 1 : 0 })
    let result = definition.forward(inputs)
    #expect(result.lse.prefix(3).allSatisfy { $0 == -.infinity })
    #expect(result.output.prefix(6).allSatisfy { $0 == 0 })
    #expect(result.lse.suffix(3).allSatisfy { $0.isFinite })
    let gradient = definition.backward([Double](repeating: 1, count: 12), inputs)
    #expect(
      gradient.query.prefix(6).allSatisfy { $0 == 0 } && gradient.value.prefix(6).allSatisfy { $0 == 0 })
    #expect(gradient.value.suffix(2).allSatisfy { $0 == 0 }, "the third key is padding")
  }

  @Test(
    "bias, grouped queries, normalised keys, second sets and vectors agree with differences", arguments: 0..<5
  )
  func differences(_ kind: Int) throws {
    let shape = try AttentionShape(
      queryHeads: 4, keyHeads: kind == 2 ? 4 : 2, queryLength: 5, keyLength: kind == 2 ? 5 : 7, headDim: 3,
      valueDim: 2)
    func draw(_ name: String, _ shape: [Int]) throws -> [Double] {
      try Tensor.normal(shape, key: RandomKey(seed: 4)(name)(kind)).array().map { Double($0) }
    }
    func set(_ prefix: String) throws -> [Operand.Name: [Double]] {
      [
        Operand.Name(prefix + "query"): try draw(prefix + "q", shape.queryShape),
        Operand.Name(prefix + "key"): try draw(prefix + "k", shape.keyShape),
        Operand.Name(prefix + "value"): try draw(prefix + "v", shape.valueShape),
      ]
    }
    let second = Operand.standard.map {
      Operand(Operand.Name("other_\($0.name)"), $0.axes, .projected(like: $0.name), help: "second")
    }
    let vector = Operand("vector", [.queryHeads, .fixed(4)], .learned(.normal(1)), help: "a vector a head")
    let feature = Operand("feature", [.batch, .keys, .fixed(4)], .projected(like: nil), help: "of keys")
    let unit = Operand("unit", [.batch, .queryHeads, .keys, .headDim], .given, help: "q/‖q‖")
    var arrays = try set("")
    if kind == 3 { arrays.merge(try set("other_")) { $1 } }
    if kind == 4 {
      arrays["vector"] = try draw("vector", vector.extents(at: shape))
      arrays["feature"] = try draw("feature", feature.extents(at: shape))
    }
    let inputs = DefinitionInputs(arrays)
    let scale = shape.effectiveScale
    let definition = SoftmaxDefinition(
      shape: shape, operands: second + [vector, feature], normalizing: kind == 2 ? [(unit, .query)] : [],
      terms: { row in
        switch kind {
        case 1:
          [
            .product(.query, .key, factor: scale),
            .constant { Self.bias(0, row.head, row.query, $0) },
          ]
        case 2: [.product(.query, "unit", factor: scale)]
        case 3 where Self.isGlobal(row.query): [.product("other_query", "other_key", factor: scale)]
        case 4: [.product(.query, .key, factor: scale), .product("vector", "feature", factor: 0.7)]
        default: [.product(.query, .key, factor: scale)]
        }
      }, value: { kind == 3 && Self.isGlobal($0.query) ? "other_value" : .value },
      multiplicity: { _, h, i, j in (h + i + j) % 3 })
    let weights = try draw("weights", shape.outputShape)
    func loss(_ inputs: DefinitionInputs) -> Double {
      zip(weights, definition.forward(inputs).output).reduce(0) { $0 + $1.0 * $1.1 }
    }
    let gradient = definition.backward(weights, inputs)
    for name in inputs.names {
      let expected = try #require(gradient.values[name])
      for index in stride(from: 0, to: expected.count, by: 5) {
        var (more, less) = (inputs, inputs)
        more[name][index] += 1e-5
        less[name][index] -= 1e-5
        let difference = (loss(more) - loss(less)) / 2e-5
        #expect(
          abs(difference - expected[index]) < 1e-7 * (1 + abs(difference)), "\(name)[\(index)], kind \(kind)")
      }
    }
    // A few rows of a tensor that is up-converted head by head give what all rows give.
    guard definition.hasRowwiseGradient(of: .query) else { return }
    let rows = [shape.definitionRows[3], shape.definitionRows[17]]
    let some = definition.forward(inputs, rows: rows).output, all = definition.forward(inputs).output
    #expect(some == Array(all[6..<8] + all[34..<36]))
  }
}
