import AttentionCore
import Basics
import CKernels
import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What the gates of a recurrence make of data: a log decay, and how strongly a token is written.
///
/// With z = x + b_h and s = softplus(z): `log a = −e^{A_h}·s`, and the strength is s, or the sigmoid of another operand. In Double,
/// rounded once.
/// - Complexity: O(heads · keys).
struct ScanGates: Sendable {
  let shape: AttentionShape
  let gate: Recurrence.Gate

  /// `[heads, keys]` each.
  struct Values: Sendable {
    var logDecays: Tensor
    var strengths: Tensor
  }

  /// Log decays and strengths; of keys behind the end of a sequence nothing is read, and nothing written.
  /// - Throws: `MemoryLimitExceeded`.
  func values(_ inputs: Operands, in context: ExecutionContext) throws -> Values {
    let heads = shape.batch * shape.keyHeads, keys = shape.keyLength
    var logs = try context.empty([heads, keys]), strengths = try context.empty([heads, keys])
    let (logView, strengthView) = (logs.pinnedForWriting(), strengths.pinnedForWriting())
    let (rows, rates, biases) = try read(inputs), writing = gate.strength.flatMap { inputs[$0]?.rows() }
    Parallel.forEach(count: heads, threads: context.threads) { index, _ in
      let batch = index / shape.keyHeads, head = index % shape.keyHeads
      let (rate, bias) = (exp(Double(rates[head])), Double(biases[head]))
      for key in 0..<shape.validKeys(batch: batch) {
        let step = Self.softplus(Double(rows.row(batch, head, key)[0]) + bias)
        logView[index * keys + key] = Float(-rate * step)
        let strength = writing.map { Self.sigmoid(Double($0.row(batch, head, key)[0])) }
        strengthView[index * keys + key] = Float(strength ?? step)
      }
    }
    return Values(logDecays: logs, strengths: strengths)
  }

  /// Adds the gradients of the gates' operands to those of q, k and v.
  /// - Parameters:
  ///   - gradient: that of the log decays and strengths.
  ///   - inputs: what was read.
  ///   - result: takes the gradients.
  ///   - context: threads and ledger.
  /// - Throws: `MemoryLimitExceeded`.
  func addGradient(
    _ gradient: Values, _ inputs: Operands, to result: inout Operands, in context: ExecutionContext
  ) throws {
    let heads = shape.keyHeads, keys = shape.keyLength
    var dx = try context.zeros([shape.batch, heads, keys, 1])
    var dRates = try context.empty([heads]), dBiases = try context.empty([heads])
    let (dLogs, dSteps) = (gradient.logDecays.pinned(), gradient.strengths.pinned())
    let (rows, rates, biases) = try read(inputs)
    var dWriting = try gate.strength.map { _ in try context.zeros([shape.batch, heads, keys, 1]) }
    let writing = gate.strength.flatMap { inputs[$0]?.rows() }
    let target = dx.pinnedForWriting(), writingTarget = dWriting?.pinnedForWriting()
    let (rateView, biasView) = (dRates.pinnedForWriting(), dBiases.pinnedForWriting())
    Parallel.forEach(count: heads, threads: context.threads) { head, _ in
      let (rate, bias) = (exp(Double(rates[head])), Double(biases[head]))
      var rateSum = 0.0, biasSum = 0.0
      for batch in 0..<shape.batch {
        let start = (batch * heads + head) * keys
        for key in 0..<shape.validKeys(batch: batch) {
          let z = Double(rows.row(batch, head, key)[0]) + bias
          let dLog = Double(dLogs[start + key])
          var dStep = Double(dSteps[start + key])
          if let writing, let writingTarget {
            let strength = Self.sigmoid(Double(writing.row(batch, head, key)[0]))
            writingTarget[start + key] = Float(dStep * strength * (1 - strength))
            dStep = 0
          }
          let d = (dStep - rate * dLog) / (1 + exp(-z))
          target[start + key] = Float(d)
          rateSum -= dLog * rate * Self.softplus(z)
          biasSum += d
        }
      }
      (rateView[head], biasView[head]) = (Float(rateSum), Float(biasSum))
    }
    (result[gate.input], result[gate.rate], result[gate.bias]) = (dx, dRates, dBiases)
    if let name = gate.strength { result[name] = dWriting }
  }

  private func read(_ inputs: Operands) throws -> (rows: Rows, rates: [Float], biases: [Float]) {
    guard let x = inputs[gate.input], let rate = inputs[gate.rate], let bias = inputs[gate.bias] else {
      preconditionFailure("a gate reads \(gate.input), \(gate.rate) and \(gate.bias)")
    }
    return (x.rows(), rate.array(), bias.array())
  }

  static func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

  /// log(1 + e^x) without overflow.
  static func softplus(_ x: Double) -> Double { max(x, 0) + log1p(exp(-x.magnitude)) }
}

/// `o_i += D_h v_i`: what a token passes by the state, v of the query's own position.
struct ScanSkip: Sendable {
  let shape: AttentionShape
  let operand: Operand.Name

  /// The query rows with a valid key at their position.
  private func rows(_ batch: Int) -> Range<Int> {
    let offset = shape.queryOffset, end = min(shape.queryLength, shape.validKeys(batch: batch) - offset)
    let first = min(shape.queryLength, max(0, -offset))
    return first..<max(first, end)
  }

  private func factors(_ inputs: Operands) -> [Float] {
    guard let tensor = inputs[operand] else { preconditionFailure("a skip reads \(operand)") }
    return tensor.array()
  }

  /// Adds it to outputs.
  func add(_ inputs: Operands, to output: inout Tensor, in context: ExecutionContext) {
    let (values, target, factors) = (inputs.value.rows(), output.rowsForWriting(), factors(inputs))
    let dim = shape.valueDim, isa = context.instructionSet.code
    Parallel.forEach(count: shape.batch * shape.queryHeads, threads: context.threads) { index, _ in
      let batch = index / shape.queryHeads, head = index % shape.queryHeads
      for row in rows(batch) {
        let value = values.row(batch, shape.keyHead(of: head), row + shape.queryOffset)
        attn_axpy(isa, factors[head], value, target.row(batch, head, row), dim)
      }
    }
  }

  /// Adds its gradients.
  /// - Throws: `MemoryLimitExceeded`.
  func addGradient(
    _ outputGradient: Tensor, _ inputs: Operands, to result: inout Operands, in context: ExecutionContext
  ) throws {
    let factors = factors(inputs), dim = shape.valueDim, isa = context.instructionSet.code
    var dFactors = try context.empty([shape.queryHeads])
    let (given, values) = (outputGradient.rows(), inputs.value.rows())
    let (view, target) = (dFactors.pinnedForWriting(), result.value.rowsForWriting())
    Parallel.forEach(count: shape.keyHeads, threads: context.threads) { keyHead, _ in
      for head in keyHead * shape.groupSize..<(keyHead + 1) * shape.groupSize {
        var sum = 0.0
        for batch in 0..<shape.batch {
          for row in rows(batch) {
            let d = given.row(batch, head, row), key = row + shape.queryOffset
            var product: Float = 0
            attn_scan_dots(isa, d, dim, values.row(batch, keyHead, key), dim, &product, 0, 1, dim)
            sum += Double(product)
            attn_axpy(isa, factors[head], d, target.row(batch, keyHead, key), dim)
          }
        }
        view[head] = Float(sum)
      }
    }
    result[operand] = dFactors
  }
}
