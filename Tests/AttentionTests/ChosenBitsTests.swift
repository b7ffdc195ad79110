import AttentionCore
import Basics
import LabTestSupport
import Settings
import Tensors
import Testing

@testable import Attention

/// What is chosen by the processor changes no result but in its last bits, and often not these.
@Suite struct ChosenBitsTests {
  /// Outputs and gradients of a variant under choices.
  static func results(
    _ id: String, _ shape: AttentionShape, _ choices: ProcessorChoices, _ set: InstructionSet,
    threads: Int = 2
  ) throws -> [[Float]] {
    try ProcessorChoices.$override.withValue(choices) {
      let type = try Catalog.standard.type(of: id), key = RandomKey(seed: 11)
      let settings = try type.fitted(#require(Conformance.samples(of: type).first), to: shape)
      let variant = try type.make(settings: settings, shape: shape, key: key)
      let inputs = try Operands.drawn(for: variant, key: key)
      let context = ExecutionContext(threads: threads, instructionSet: set)
      #expect(context.choices == choices)
      let forward = try variant.attend(inputs, in: context)
      let gradient = try forward.backward(.normal(shape.outputShape, key: key("do")), in: context)
      return [forward.output, gradient.query, gradient.key, gradient.value].map { $0.array() }
    }
  }

  /// The root of the squares of differences, over that of the reference.
  static func difference(_ own: [Float], _ reference: [Float]) -> Double {
    let squares = zip(own, reference).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
    // The gradient of keys that are queries too is 0.
    guard squares > 0 else { return 0 }
    return (squares / reference.reduce(0.0) { $0 + Double($1) * Double($1) }).squareRoot()
  }

  static let variants = ["full", "sliding-window", "local-global", "random-sparse", "lsh", "moba"]

  @Test("choices that keep bits keep them", arguments: variants, InstructionSet.available)
  func kept(id: String, set: InstructionSet) throws {
    let shape = try AttentionShape(queryHeads: 2, queryLength: 1300, headDim: 16, isCausal: true)
    let before = try Self.results(id, shape, .assumed, set)
    var other = ProcessorChoices.assumed
    for choice in ProcessorChoice.all where !choice.changesBits {
      other[choice] =
        other[choice] == choice.allowed.lowerBound ? choice.allowed.upperBound : choice.allowed.lowerBound
    }
    #expect(
      other.forwardTiles == 1 && other.prefetchesRows == 0 && other.warmsKeys == 0 && other.productRows == 12)
    #expect(try Self.results(id, shape, other, set) == before)
  }

  @Test("under any choices, the same results for any number of threads", arguments: variants)
  func threads(id: String) throws {
    let shape = try AttentionShape(queryHeads: 2, queryLength: 1300, headDim: 16, isCausal: true)
    let assumed = try Self.results(id, shape, .assumed, .default)
    for isHighest in [false, true] {
      var other = ProcessorChoices.assumed
      for choice in ProcessorChoice.all {
        other[choice] = isHighest ? choice.allowed.upperBound : choice.allowed.lowerBound
      }
      let one = try Self.results(id, shape, other, .default, threads: 1)
      for (own, reference) in zip(one, assumed) {
        #expect(Self.difference(own, reference) < 2e-6, "\(id), \(other.text)")
      }
      for threads in [2, 7, 16] {
        #expect(try Self.results(id, shape, other, .default, threads: threads) == one, "\(threads) threads")
      }
    }
  }

  @Test("products keep their bits whatever their blocks, and their values whatever is taken of k at once")
  func products() throws {
    let key = RandomKey(seed: 3)
    let a = try Tensor.normal([150, 1024], key: key("a")), b = try Tensor.normal([1024, 300], key: key("b"))
    func context(_ text: String, threads: Int) throws -> ExecutionContext {
      var context = ExecutionContext(threads: threads)
      context.choices = try ProcessorChoices(parsing: "assumed," + text, on: .here())
      return context
    }
    func product(_ text: String, threads: Int = 2) throws -> [Float] {
      try context(text, threads: threads).matmul(a, .plain, b, .plain, bias: nil, activating: .gelu).after
        .array()
    }
    let before = try product("")
    for text in [
      "product_rows=12", "product_rows=960", "page_rows=1", "page_rows=64", "parallel_operations=4096",
    ] {
      for threads in [1, 3] { #expect(try product(text, threads: threads) == before, "\(text)") }
    }
    // A whole number of panels: others are packed whatever is chosen.
    let turned = a.transposed(0, 1).contiguous(), wide = try Tensor.normal([1024, 320], key: key("wide"))
    func sumOverRows(_ text: String) throws -> [Float] {
      try context(text, threads: 2).matmul(turned, .transposed, wide, .plain).array()
    }
    let packed = try sumOverRows("place_distances=1")
    #expect(try sumOverRows("place_distances=1073741824") == packed)
    let short = try product("product_depth=64")
    #expect(Self.difference(short, before) < 1e-6)
  }

  @Test("keys that a few rows ask for ahead change no bit", arguments: [Precision.float32, .bfloat16])
  func farKeys(_ precision: Precision) throws {
    // Four rows and more ask, from 2048 keys on: four together, or of wide values the first alone.
    for (heads, dim) in [(3, 64), (4, 64), (8, 64), (12, 40), (7, 128)] {
      let shape = try AttentionShape(
        queryHeads: heads, keyHeads: 1, queryLength: 1, keyLength: 2500, headDim: dim, precision: precision)
      let key = RandomKey(seed: 5), variant = try Catalog.standard.make("full", shape: shape, key: key)
      let inputs = try Operands(
        query: .normal(shape.queryShape, key: key("q")), key: .normal(shape.keyShape, key: key("k")),
        value: .normal(shape.valueShape, key: key("v"))
      ).converted(to: precision)
      func output(_ text: String) throws -> [Float] {
        var context = ExecutionContext(threads: 1)
        context.choices = try ProcessorChoices(parsing: "assumed," + text, on: .here())
        return try variant.attend(inputs, in: context).output.array()
      }
      #expect(try output("far_bytes=1") == output("far_bytes=0"), "\(heads) heads of \(dim)")
    }
    let shape = try AttentionShape(queryHeads: 8, keyHeads: 2, queryLength: 1, keyLength: 2500, headDim: 64)
    var choices = ProcessorChoices.assumed
    choices.farBytes = 2 * 2500 * 2 * 64 * 4
    #expect(KernelHead.rowsAhead(shape, choices) == 0)
    choices.farBytes -= 1
    #expect(KernelHead.rowsAhead(shape, choices) == 64)
  }

  @Test("a slow rate of products sends bfloat16 down the other road, with the bits of up-conversion")
  func slowProducts() throws {
    guard InstructionSet.default.hasBFloat16Products else { return }
    let slow = BFloat16Choice(hasProducts: true) { .init(products: 172e9, float32: 350e9) }
    let fast = BFloat16Choice(hasProducts: true) { .init(products: 458e9, float32: 254e9) }
    let shape = try AttentionShape(queryLength: 300, headDim: 64, precision: .bfloat16),
      key = RandomKey(seed: 4)
    let variant = try Catalog.standard.make("full", shape: shape, key: key)
    let inputs = try Operands(
      query: .normal(shape.queryShape, key: key("q")), key: .normal(shape.keyShape, key: key("k")),
      value: .normal(shape.valueShape, key: key("v"))
    ).converted(to: .bfloat16)
    func output(_ road: BFloat16Road) throws -> [Float] {
      var context = ExecutionContext(threads: 1)
      context.bfloat16Road = road
      return try variant.forward(inputs, in: context).output.array()
    }
    #expect(slow.road == .upconvert && fast.road == .products)
    let plain = try Catalog.standard.make(
      "full", shape: AttentionShape(queryLength: 300, headDim: 64), key: key)
    let wide = try plain.forward(inputs.converted(to: .float32), in: ExecutionContext(threads: 1)).output
      .array()
    #expect(try output(slow.road) == wide)
    #expect(try output(fast.road) != wide)
  }
}
