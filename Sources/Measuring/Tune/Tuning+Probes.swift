import AttentionCore
import Basics
import Settings
import Tensors

extension Tuning {
  /// The probes of this machine: small passes of variants of a catalogue, those that it has, and products; about half a minute.
  /// - Parameters:
  ///   - catalog: the variants.
  ///   - threads: how many share the work of probes that are about sharing it.
  public static func probes(_ catalog: Catalog, threads: Int = Parallel.processorCount) -> [(ProcessorChoices)
    -> TuningProbe]
  {
    let passes = ProbePasses(catalog: catalog)
    let full = passes.has("full"), band = passes.has("sliding-window")
    var probes: [(ProcessorChoices) -> TuningProbe] = []
    func add(
      _ name: String, _ work: String, if isThere: Bool = true, _ others: @escaping (Int) -> [Int],
      _ prepare: @escaping @Sendable (ProcessorChoices) throws -> () throws -> Void
    ) {
      guard isThere, let choice = ProcessorChoice.named(name) else { return }
      probes.append { choices in
        let own = choices[choice]
        let values = [own] + others(own).filter { $0 != own && choice.problem(with: $0) == nil }
        return TuningProbe(
          name: name, unit: choice.unit, work: work, candidates: values.map { TuningCandidate(choice, $0) },
          prepare: prepare)
      }
    }
    func halfAndTwice(_ value: Int) -> [Int] { [value / 2, 2 * value] }
    add("kv_block_bytes", "full attention, 4096 tokens, there and back, one thread", if: full, halfAndTwice) {
      try passes.pass("full", tokens: 4096, isBackward: true, choices: $0)
    }
    add("forward_tiles", "full attention, 4096 tokens, one thread", if: full, halfAndTwice) {
      try passes.pass("full", tokens: 4096, choices: $0)
    }
    add("backward_tiles", "full attention, 4096 tokens, there and back, one thread", if: full, halfAndTwice) {
      try passes.pass("full", tokens: 4096, isBackward: true, choices: $0)
    }
    add(
      "local_backward_tiles", "a window of ±256 over 8192 tokens, there and back", if: band,
      { _ in [1, 2, 4] }
    ) {
      try passes.pass("sliding-window", ProbePasses.window(256), tokens: 8192, isBackward: true, choices: $0)
    }
    for (name, isBackward) in [("band_rows", false), ("band_backward_rows", true)] {
      add(
        name, "windows of ±256 and ±64 over 8192 tokens\(isBackward ? ", there and back" : ""), one thread",
        if: band, { _ in [16, 32, 64] }
      ) { choices in
        let works = try [256, 64].map {
          try passes.pass(
            "sliding-window", ProbePasses.window($0), tokens: 8192, isBackward: isBackward, choices: choices)
        }
        return { for work in works { try work() } }
      }
    }
    add(
      "near_block_bytes", "full attention, 2048 tokens, heads of 48, 64 and 96, one thread",
      if: full && ProcessorDescription.here().stripRows <= 16, { _ in [16 << 10, 24 << 10, 32 << 10] }
    ) { choices in
      let works = try [48, 64, 96].map { try passes.pass("full", tokens: 2048, dim: $0, choices: choices) }
      return { for work in works { try work() } }
    }
    add("prefetches_rows", "lsh of 4 hashes over 4096 tokens, two heads", if: passes.has("lsh"), { [1 - $0] })
    {
      try passes.pass("lsh", ["chunk": .int(64), "hashes": .int(4)], heads: 2, tokens: 4096, choices: $0)
    }
    add("warms_keys", "64 queries over 131072 keys, one thread", if: full, { [1 - $0] }) {
      try passes.pass("full", tokens: 64, keys: 131072, choices: $0)
    }
    add(
      "split_keys", "decoding: 8 heads on one key head over 131072 keys, all threads",
      if: full && threads > 1, { _ in [2048, 4096, 8192] }
    ) {
      try passes.pass("full", heads: 8, keyHeads: 1, tokens: 1, keys: 131072, threads: threads, choices: $0)
    }
    add(
      "far_bytes", "decoding: 8 heads on one key head over 131072 keys, one thread", if: full,
      { _ in [0, 16 << 20] }
    ) {
      try passes.pass("full", heads: 8, keyHeads: 1, tokens: 1, keys: 131072, choices: $0)
    }
    add("product_depth", "a product of 1024 · 1024 · 1024, one thread", halfAndTwice) {
      try ProbePasses.product(1024, 1024, 1024, choices: $0)
    }
    add("product_rows", "a product of 1024 · 1024 · 1024, one thread", { _ in [48, 96, 192] }) {
      try ProbePasses.product(1024, 1024, 1024, choices: $0)
    }
    add("page_rows", "a product of 1024 · 256 · 1024, one thread", { _ in [8, 12] }) {
      try ProbePasses.product(1024, 256, 1024, choices: $0)
    }
    add(
      "place_distances", "products of 256 · 2048 · 256 and 1024 · 2048 · 256 that sum over rows, one thread",
      { _ in [1 << 15, 1 << 16, 1 << 18] }
    ) { choices in
      let works = try [256, 1024].map {
        try ProbePasses.product($0, 2048, 256, a: .transposed, choices: choices)
      }
      return { for work in works { try work() } }
    }
    add(
      "parallel_operations", "products of 2¹⁸ to 2²¹ operations, all threads", if: threads > 1,
      { _ in [1 << 17, 1 << 19, 1 << 21] }
    ) { choices in
      let works = try [(32, 64), (64, 64), (64, 128), (128, 128)].map { rows, depth in
        try ProbePasses.product(rows, depth, 64, threads: threads, choices: choices)
      }
      return { for work in works { try work() } }
    }
    add(
      "parallel_weights", "products of 4 rows with 2¹⁶ to 2²⁰ weights, all threads", if: threads > 1,
      { _ in [1 << 15, 1 << 18, 1 << 20] }
    ) { choices in
      let works = try [256, 512, 1024].map {
        try ProbePasses.product(4, $0, $0, threads: threads, b: .transposed, choices: choices)
      }
      return { for work in works { try work() } }
    }
    if full, InstructionSet.default.hasBFloat16Products {
      probes.append { choices in
        let own = choices.bfloat16Road ?? BFloat16Choice.here.road
        let roads = [own] + BFloat16Road.allCases.filter { $0 != own }
        return TuningProbe(
          name: ProcessorChoices.roadName, unit: "",
          work: "full attention in bfloat16, 2048 tokens, 2 heads, one thread",
          candidates: roads.map { road in TuningCandidate(road.rawValue) { $0.bfloat16Road = road } }
        ) { try passes.pass("full", heads: 2, tokens: 2048, precision: .bfloat16, choices: $0) }
      }
    }
    return probes
  }
}

/// The work of probes.
struct ProbePasses: Sendable {
  let catalog: Catalog

  func has(_ variant: String) -> Bool { (try? catalog.type(of: variant)) != nil }

  /// The settings of a window.
  static func window(_ keys: Int) -> [String: ParameterValue] { ["left": .int(keys), "right": .int(keys)] }

  /// One pass of a variant over drawn inputs: forward, or there and back.
  func pass(
    _ variant: String, _ settings: [String: ParameterValue] = [:], heads: Int = 1, keyHeads: Int? = nil,
    tokens: Int,
    keys: Int? = nil, dim: Int = 64, precision: Precision = .float32, isBackward: Bool = false,
    threads: Int = 1,
    choices: ProcessorChoices
  ) throws -> () throws -> Void {
    let shape = try AttentionShape(
      queryHeads: heads, keyHeads: keyHeads, queryLength: tokens, keyLength: keys, headDim: dim,
      precision: precision)
    let key = RandomKey(seed: 1)
    var context = ExecutionContext(threads: threads, ledger: MemoryLedger(recycles: true))
    (context.choices, context.bfloat16Road) = (choices, choices.bfloat16Road)
    let made = try planned(variant, settings, shape, isBackward: isBackward, in: context)
    let inputs = Operands(
      query: try .normal(shape.queryShape, key: key("q")), key: try .normal(shape.keyShape, key: key("k")),
      value: try .normal(shape.valueShape, key: key("v")))
    let given = try inputs.converted(to: precision, declared: made.operandsRead, ledger: nil)
    let gradient = isBackward ? try Tensor.normal(shape.outputShape, key: key("do")) : nil
    let own = context
    return {
      let forward = try made.forward(given, in: own)
      if let gradient { _ = try forward.backward(gradient, in: own) }
    }
  }

  /// A variant with the plans of its passes: lists of tiles follow the choices while they are made, so those of the way back are
  /// made here too.
  func planned(
    _ variant: String, _ settings: [String: ParameterValue], _ shape: AttentionShape, isBackward: Bool,
    in context: ExecutionContext
  ) throws -> any AttentionVariant {
    let made = try catalog.make(variant, settings: settings, shape: shape, key: RandomKey(seed: 1))
    try made.prepare(for: isBackward ? .backward : .forward, in: context)
    return made
  }

  /// One product `[rows, depth] · [depth, columns]`.
  static func product(
    _ rows: Int, _ depth: Int, _ columns: Int, threads: Int = 1,
    a aSide: ExecutionContext.Orientation = .plain, b bSide: ExecutionContext.Orientation = .plain,
    choices: ProcessorChoices
  ) throws -> () throws -> Void {
    var context = ExecutionContext(threads: threads, ledger: MemoryLedger(recycles: true))
    context.choices = choices
    let key = RandomKey(seed: 1), own = context
    let a = try Tensor.normal(aSide == .plain ? [rows, depth] : [depth, rows], key: key("a"))
    let b = try Tensor.normal(bSide == .plain ? [depth, columns] : [columns, depth], key: key("b"))
    return { _ = try own.matmul(a, aSide, b, bSide) }
  }
}
