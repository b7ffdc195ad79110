import Basics
import Settings
import Tensors

extension Conformance {
  /// What must hold to the last bit: causality, padding, threads, seeds, strides, ledger, cancellation.
  func invariants(_ settings: [String: ParameterValue]) -> [ConformanceCheck] {
    var shapes: [() throws -> AttentionShape] = [false, true].map { isCausal in
      return {
        try AttentionShape(queryHeads: 2, keyHeads: 1, queryLength: 150, headDim: 24, isCausal: isCausal)
      }
    }
    var result = bodies.flatMap { body in shapes.flatMap { attempt(body, $0, settings) } }
    shapes = [
      { try AttentionShape(queryHeads: 2, queryLength: 150, headDim: 16, isCausal: true) },
      { try AttentionShape(queryLength: 70, keyLength: 150, headDim: 16, isCausal: true) },
    ]
    result += shapes.flatMap { attempt(causal, $0, settings) }
    return result + padding(settings)
  }

  /// The same at one shape, less what needs shapes of its own (padding).
  func invariants(_ settings: [String: ParameterValue], at shape: AttentionShape) -> [ConformanceCheck] {
    (bodies + (shape.isCausal ? [causal] : [])).flatMap { attempt($0, { shape }, settings) }
  }

  private typealias Body = (
    group: String,
    checks: (AttentionShape, [String: ParameterValue]) throws -> [ConformanceCheck]
  )

  private var bodies: [Body] {
    [("threads", threads), ("seed", seeds), ("strides", strides), ("ledger", ledger)]
  }

  private var causal: Body { ("causality", causality) }

  private func attempt(
    _ body: Body, _ make: () throws -> AttentionShape, _ settings: [String: ParameterValue]
  ) -> [ConformanceCheck] {
    do {
      let shape = try make().with(precision: precision)
      _ = try type.make(settings: settings, shape: shape, key: key("variant"))
      let trial = ConformanceTrial(.invariants, ConformanceCase(body.group, shape), settings)
      do { return try body.checks(shape, settings).on(trial) } catch {
        return [failure(body.group, shape.summary, error)].on(trial)
      }
    } catch { return [skipped(body.group, type.card.id, error)] }
  }

  private func make(_ shape: AttentionShape, _ settings: [String: ParameterValue]) throws
    -> any AttentionVariant
  {
    try type.make(settings: settings, shape: shape, key: key("variant"))
  }

  private func inputs(_ variant: any AttentionVariant) throws -> Operands {
    try ConformanceCase("inputs", variant.shape).inputs(key("inputs"), of: variant)
  }

  private func equal(_ group: String, _ subject: String, _ differences: Int, _ detail: String)
    -> ConformanceCheck
  {
    ConformanceCheck(
      group: group, quantity: "bits", subject: subject, error: Double(differences), bound: 0, detail: detail)
  }

  /// One, two, three and seven threads give the same bits.
  private func threads(_ shape: AttentionShape, _ settings: [String: ParameterValue]) throws
    -> [ConformanceCheck]
  {
    let variant = try make(shape, settings)
    let inputs = try inputs(variant)
    let gradient = try gradientOfOutput(shape)
    let one = try evaluate(variant, inputs, gradient, in: context(1))
    return try [2, 3, 7].map { count in
      let many = try evaluate(variant, inputs, gradient, in: context(count))
      return equal("threads", subject(variant), many.differences(from: one), "\(count) threads against 1")
    }
  }

  /// The same key gives the same bits, in another instance and in a second call.
  private func seeds(_ shape: AttentionShape, _ settings: [String: ParameterValue]) throws
    -> [ConformanceCheck]
  {
    let variant = try make(shape, settings)
    let inputs = try inputs(variant)
    let gradient = try gradientOfOutput(shape)
    let first = try evaluate(variant, inputs, gradient, in: context())
    let second = try evaluate(variant, inputs, gradient, in: context())
    let other = try evaluate(try make(shape, settings), inputs, gradient, in: context())
    return [
      equal("seed", subject(variant), second.differences(from: first), "a second call"),
      equal("seed", subject(variant), other.differences(from: first), "another instance of the same key"),
    ]
  }

  /// Views give the bits of their row-major copies.
  private func strides(_ shape: AttentionShape, _ settings: [String: ParameterValue]) throws
    -> [ConformanceCheck]
  {
    let variant = try make(shape, settings)
    func view(_ name: String, _ shape: [Int], _ precision: Precision) throws -> Tensor {
      // [batch, length, heads, dim + 3] seen as [batch, heads, length, dim]: what a projection's output looks like.
      try Tensor.normal([shape[0], shape[2], shape[1], shape[3] + 3], key: key("strides")(name))
        .converted(to: precision).transposed(1, 2).narrowed(axis: 3, to: 1..<shape[3] + 1)
    }
    var views = try inputs(variant)
    for operand in Operand.all(variant.operands) where operand.isStored && operand.axes.count == 4 {
      guard let given = views[operand.name] else { continue }
      views[operand.name] = try view(operand.shortName, given.shape, precision)
    }
    var copies = views
    for name in views.names { copies[name] = views[name]?.contiguous() }
    let gradient = try view("do", shape.outputShape, .float32)
    let seen = try evaluate(variant, views, gradient, in: context())
    let copied = try evaluate(variant, copies, gradient.contiguous(), in: context())
    return [equal("strides", subject(variant), seen.differences(from: copied), "views against copies")]
  }

  /// Buffers are counted and given back; a limit that is too small and a cancellation are thrown, not survived.
  private func ledger(_ shape: AttentionShape, _ settings: [String: ParameterValue]) throws
    -> [ConformanceCheck]
  {
    let variant = try make(shape, settings)
    let inputs = try inputs(variant)
    let gradient = try gradientOfOutput(shape)
    let ledger = MemoryLedger()
    let counted = context(ledger: ledger)
    for pass in [PassKind.forward, .backward] { try variant.prepare(for: pass, in: counted) }
    let planned = ledger.currentBytes
    _ = try evaluate(variant, inputs, gradient, in: counted)
    let outputBytes = shape.outputShape.reduce(4, *)
    var checks = [
      equal(
        "ledger", subject(variant), ledger.currentBytes - planned,
        "bytes held after both passes beside the \(planned) of their plans"),
      equal(
        "ledger", subject(variant), ledger.peakBytes < outputBytes ? 1 : 0,
        "a peak of \(ledger.peakBytes) bytes; the output alone takes \(outputBytes)"),
    ]
    let small = context(ledger: MemoryLedger(limitBytes: 16))
    checks.append(
      equal(
        "ledger", subject(variant), throwsError { _ = try variant.attend(inputs, in: small) } ? 0 : 1,
        "a limit of 16 bytes"))
    var cancelled = context()
    cancelled.cancellation = Cancellation()
    cancelled.cancellation?.cancel()
    checks.append(
      equal(
        "cancellation", subject(variant),
        throwsError { _ = try variant.attend(inputs, in: cancelled) } ? 0 : 1,
        "a forward pass that was cancelled before it began"))
    return checks
  }

  private func throwsError(_ body: () throws -> Void) -> Bool {
    do { try body() } catch { return true }
    return false
  }
}
