import Basics
import Foundation
import Tensors
import Testing

@testable import AttentionCore

/// The naive reference against sums worked out by hand, and against its own differences.
@Suite struct ReferenceTests {
  static func all(_: Int, _: Int, _: Int, _: Int) -> Int { 1 }

  @Sendable static func bias(_: Int, _ head: Int, _ query: Int, _ key: Int) -> Double {
    Double(head) * 0.3 - Double(query * key) * 0.1
  }

  @Sendable static func isGlobal(_ row: Int) -> Bool { row == 1 || row == 4 }

  @Test("one query, two keys, by hand")
  func byHand() throws {
    let shape = try AttentionShape(queryLength: 1, keyLength: 2, headDim: 1, scale: 1)
    let inputs = ReferenceInputs(local: .init(query: [1], key: [0, log(3)], value: [10, 20]))
    let reference = Reference(Oracle(shape: shape, multiplicity: Self.all), inputs)
    let result = reference.forward()
    #expect(abs(result.output[0] - 17.5) < 1e-12)
    #expect(abs(result.lse[0] - log(4)) < 1e-12)
    #expect(result.mostKeys == 2)
    // p = (1/4, 3/4), dP = (10, 20), D = 17.5: dS = (−1.875, 1.875).
    let gradient = reference.backward([1]).local.values
    #expect(abs(gradient.query[0] - 1.875 * log(3)) < 1e-12)
    #expect(abs(gradient.key[0] + 1.875) < 1e-12 && abs(gradient.key[1] - 1.875) < 1e-12)
    #expect(abs(gradient.value[0] - 0.25) < 1e-12 && abs(gradient.value[1] - 0.75) < 1e-12)
  }

  @Test("a multiplicity of 2 is the key written twice")
  func multiplicity() throws {
    let one = try AttentionShape(queryLength: 2, keyLength: 2, headDim: 2)
    let two = try AttentionShape(queryLength: 2, keyLength: 3, headDim: 2)
    let query = [0.3, -1, 2, 0.5]
    let twice = Reference(
      Oracle(shape: one, multiplicity: { _, _, _, key in key + 1 }),
      ReferenceInputs(local: .init(query: query, key: [1, 2, -1, 0.5], value: [1, 2, 3, 4]))
    ).forward()
    let spelt = Reference(
      Oracle(shape: two, multiplicity: Self.all),
      ReferenceInputs(
        local: .init(query: query, key: [1, 2, -1, 0.5, -1, 0.5], value: [1, 2, 3, 4, 3, 4]))
    ).forward()
    for (a, b) in zip(twice.output + twice.lse, spelt.output + spelt.lse) { #expect(abs(a - b) < 1e-12) }
  }

  @Test("rows without keys: 0, −∞, gradient 0; padded keys: gradient 0")
  func emptyRows() throws {
    let shape = try AttentionShape(
      batch: 2, queryLength: 3, headDim: 2, isCausal: true, keyLengths: [0, 2])
    let values = (0..<12).map { Double($0 % 5) - 2 }
    let inputs = ReferenceInputs(local: .init(query: values, key: values, value: values))
    let oracle = Oracle(shape: shape, multiplicity: { _, _, i, j in j <= i ? 1 : 0 })
    let reference = Reference(oracle, inputs)
    let result = reference.forward()
    #expect(result.lse.prefix(3).allSatisfy { $0 == -.infinity })
    #expect(result.output.prefix(6).allSatisfy { $0 == 0 })
    #expect(result.lse.suffix(3).allSatisfy { $0.isFinite })
    let gradient = reference.backward([Double](repeating: 1, count: 12)).local.values
    #expect(
      gradient.query.prefix(6).allSatisfy { $0 == 0 } && gradient.value.prefix(6).allSatisfy { $0 == 0 })
    #expect(gradient.value.suffix(2).allSatisfy { $0 == 0 }, "the third key is padding")
  }

  @Test("bias, grouped queries, normalised keys and global rows agree with differences", arguments: 0..<4)
  func differences(_ kind: Int) throws {
    let shape = try AttentionShape(
      queryHeads: 4, keyHeads: kind == 2 ? 4 : 2, queryLength: 5, keyLength: kind == 2 ? 5 : 7, headDim: 3,
      valueDim: 2)
    func draw(_ name: String, _ shape: [Int]) throws -> [Double] {
      try Tensor.normal(shape, key: RandomKey(seed: 4)(name)(kind)).array().map { Double($0) }
    }
    func set(_ name: String) throws -> ReferenceInputs.Projections {
      .init(
        query: try draw(name + "q", shape.queryShape), key: try draw(name + "k", shape.keyShape),
        value: try draw(name + "v", shape.valueShape))
    }
    let inputs = ReferenceInputs(local: try set("local"), global: kind == 3 ? try set("global") : nil)
    let oracle = Oracle(
      shape: shape, keySource: kind == 2 ? .normalizedQueries : .keys,
      multiplicity: { _, h, i, j in (h + i + j) % 3 },
      bias: kind == 1 ? Self.bias : nil, isGlobalRow: kind == 3 ? Self.isGlobal : nil)
    let weights = try draw("weights", shape.outputShape)
    func loss(_ inputs: ReferenceInputs) -> Double {
      zip(weights, Reference(oracle, inputs).forward().output).reduce(0) { $0 + $1.0 * $1.1 }
    }
    let gradient = Reference(oracle, inputs).backward(weights)
    func check(_ path: WritableKeyPath<ReferenceInputs, [Double]>, _ expected: [Double], _ name: String) {
      for index in stride(from: 0, to: expected.count, by: 5) {
        var (more, less) = (inputs, inputs)
        more[keyPath: path][index] += 1e-5
        less[keyPath: path][index] -= 1e-5
        let difference = (loss(more) - loss(less)) / 2e-5
        #expect(
          abs(difference - expected[index]) < 1e-7 * (1 + abs(difference)), "\(name)[\(index)], kind \(kind)")
      }
    }
    check(\.local.query, gradient.local.values.query, "dq")
    check(\.local.key, gradient.local.values.key, "dk")
    check(\.local.value, gradient.local.values.value, "dv")
    if let global = gradient.global {
      check(\.global!.query, global.values.query, "global dq")
      check(\.global!.key, global.values.key, "global dk")
      check(\.global!.value, global.values.value, "global dv")
    }
  }
}
