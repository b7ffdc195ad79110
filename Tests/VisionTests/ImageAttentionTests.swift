import Basics
import Images
import Layers
import Settings
import Tensors
import Testing

@testable import Vision

/// Attention to channels and places, units and networks, against their definitions in Double.
@Suite struct ImageAttentionTests {
  static let grids = [Grid(height: 1, width: 1), Grid(height: 5, width: 6)]

  @Test(
    "a norm of images takes the moments of all places, or its running ones", arguments: [true, false], grids)
  func norm(training: Bool, grid: Grid) throws {
    try ImageBench(5, grid, batch: 3, training: training) { $0.norm("n", channels: 5) }.check()
  }

  @Test("running moments move once for a pass and its repetitions")
  func moments() throws {
    let bench = try ImageBench(2, Grid(height: 3, width: 3)) { $0.norm("n", channels: 2) }
    let before = bench.run.state.buffers
    _ = try bench.layer.forward(bench.x, bench.run)
    let once = bench.run.state.buffers
    var again = bench.run
    again.isRepeated = true
    _ = try bench.layer.forward(bench.x, again)
    #expect(bench.run.state.buffers == once && once != before)
    let column = bench.pixels.rows.map { $0[1] }, mean = column.reduce(0, +) / 18
    let variance = column.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 17
    #expect(abs(Double(once[1]) - (0.9 * Double(before[1]) + 0.1 * mean)) < 1e-6)
    #expect(abs(Double(once[3]) - (0.9 * Double(before[3]) + 0.1 * variance)) < 1e-6)
  }

  @Test("squeeze and excitation is its definition", arguments: grids, [true, false])
  func squeeze(grid: Grid, bias: Bool) throws {
    try ImageBench(20, grid) {
      SqueezeExcitation("se", channels: 20, ratio: 16, bias: bias, in: &$0)
    }.check()
  }

  @Test("hidden channels of gates are rounded as timm rounds them")
  func hidden() {
    #expect(
      [1, 16, 64, 190, 191, 320].map { SqueezeExcitation.hidden(channels: $0, ratio: 16) } == [
        8, 8, 8, 8, 8, 24,
      ])
    #expect(
      [1, 16, 24, 64, 100].map { ConvolutionalAttention.hidden(channels: $0, ratio: 16) } == [1, 1, 2, 4, 6])
  }

  @Test(
    "convolutional block attention is its definition in both orders", arguments: grids,
    ConvolutionalConfiguration.MapOrder.allCases)
  func convolutional(grid: Grid, order: ConvolutionalConfiguration.MapOrder) throws {
    let isNormed = (order == .meanMax) == (grid.count > 1)
    try ImageBench(8, grid) {
      ConvolutionalAttention(
        "cbam", channels: 8, ratio: 4, window: 7, order: order, bias: isNormed, isNormed: isNormed, in: &$0)
    }.check()
  }

  @Test(
    "residual attention is its definition, with a mask of any depth", arguments: [1, 2, 3],
    [Grid(height: 1, width: 1), Grid(height: 6, width: 9)])
  func residual(depth: Int, grid: Grid) throws {
    try ImageBench(3, grid, training: grid.count > 1) { parts in
      let trunk = ResidualBlock("unit", from: 3, to: 3, in: &parts)
      return ResidualAttention(
        "attention", channels: 3, depth: depth, groups: 1, trunk: depth == 2 ? [] : [trunk], in: &parts)
    }.check()
  }

  @Test(
    "position attention is its definition with γ that is not 0",
    arguments: grids + [Grid(height: 9, width: 8)])
  func positions(grid: Grid) throws {
    let bench = try ImageBench(9, grid) { PositionAttention("p", channels: 9, in: &$0) }
    let gamma = try #require(bench.layout.slots.last)
    #expect(gamma.name == "p.gamma" && gamma.initial == .constant(0))
    #expect(bench.run.weight(gamma)[0] != 0)
    try bench.check()
  }

  @Test("position attention holds no matrix of places by places")
  func positionMemory() throws {
    let ledger = MemoryLedger(), grid = Grid(height: 40, width: 40)
    let bench = try ImageBench(8, grid, batch: 1, ledger: ledger) {
      PositionAttention("p", channels: 8, in: &$0)
    }
    let before = ledger.currentBytes
    ledger.resetPeak()
    let (y, pullback) = try bench.layer.forward(bench.x, bench.run)
    _ = try pullback(y)
    #expect(ledger.peakBytes - before < 4 * grid.count * grid.count / 8)
  }

  @Test("channel attention is its definition with γ that is not 0", arguments: grids, [1, 7])
  func channels(grid: Grid, channels: Int) throws {
    try ImageBench(channels, grid, pixels: { Float(($0 * 37) % 23) / 40 - 0.3 }) {
      ChannelAttention("c", channels: channels, in: &$0)
    }.check()
  }

  @Test("dual attention is its definition", arguments: [4, 16])
  func dual(channels: Int) throws {
    try ImageBench(channels, Grid(height: 4, width: 5)) {
      DualAttention("d", channels: channels, in: &$0)
    }.check()
  }

  @Test("interpolation lays corners on corners, in both directions")
  func interpolation() throws {
    let context = ExecutionContext(threads: 2)
    let definition = ImageDefinition(weights: [], buffers: [], training: false)
    for (from, to) in [((2, 3), (5, 4)), ((1, 1), (3, 2)), ((7, 6), (3, 1)), ((4, 4), (4, 4))] {
      let (from, to) = (Grid(height: from.0, width: from.1), Grid(height: to.0, width: to.1))
      let x = try Tensor.normal([2 * from.count, 3], key: RandomKey(seed: 1))
      let y = try context.resize(x, from: from, to: to)
      let expected = definition.resized(Pixels(x, from, batch: 2), to: to)
      #expect(ImageBench.error(y.array().map(Double.init), expected.rows.flatMap(\.self)) < 1e-6)
      // ⟨r, R x⟩ = ⟨Rᵀ r, x⟩.
      let r = try Tensor.normal(y.shape, key: RandomKey(seed: 2))
      let back = try context.resizeBackward(r, from: from, to: to)
      #expect(abs(context.dot(r, y) - context.dot(back, x)) < 1e-4)
    }
  }

  @Test(
    "a network is its definition with every attention",
    arguments: ConvolutionalConfiguration.ChannelAttention.allCases, [true, false])
  func network(attention: ConvolutionalConfiguration.ChannelAttention, training: Bool) throws {
    var c = ConvolutionalConfiguration()
    (c.channels, c.stages, c.blocks, c.groups, c.channelAttention) = (4, 2, 2, 2, attention)
    (c.squeeze, c.stemPooling, c.stemStride) = (2, training ? .max : .mean, training ? 1 : 2)
    let bench = try ImageBench(2, Grid(height: 7, width: 6), training: training) { parts in
      ResidualNetwork(
        "network", c, from: 2, epsilon: 1e-5, in: &parts.layout, buffers: &parts.buffers)
    }
    let y = try bench.layer.forward(bench.x, bench.run.withoutWayBack).output
    #expect(y.shape[1] == c.outputWidth)
    try bench.check(2e-5, gradients: 1e-4)
  }

  @Test(
    "the closed form of a network's operations is what the definition multiplies",
    arguments: [ConvolutionalConfiguration.ChannelAttention.none, .se, .cbam, .residual])
  func operations(attention: ConvolutionalConfiguration.ChannelAttention) throws {
    var c = ConvolutionalConfiguration()
    (c.channels, c.stages, c.blocks, c.channelAttention, c.maskDepth) = (4, 2, 1, attention, 2)
    let bench = try ImageBench(1, Grid(height: 5, width: 5), batch: 3) { parts in
      ResidualNetwork("network", c, from: 1, epsilon: 1e-5, in: &parts.layout, buffers: &parts.buffers)
    }
    var size = WalkSize(batch: 3, length: 25)
    size.grid = bench.grid
    let network = try #require(bench.layer as? ResidualNetwork), definition = bench.definition
    _ = definition.apply(network, bench.pixels)
    #expect(
      network.work(on: size).reduce(0) { $0 + $1.linearOperations } == 2 * Double(definition.count.products))
  }

  @Test("settings that do not fit each other are refused in one line")
  func refusals() throws {
    func refusal(_ change: (inout ConvolutionalConfiguration) -> Void) throws -> String {
      var c = ConvolutionalConfiguration()
      change(&c)
      return "\(try #require(#expect(throws: ConfigurationError.self) { try c.validate() }))"
    }
    #expect(try refusal { $0.groups = 3 }.contains("a divisor of the 16 channels"))
    #expect(try refusal { $0.stemWindow = 4 }.contains("an odd number"))
    #expect(try refusal { $0.cbamWindow = 2 }.contains("an odd number"))
    try ConvolutionalConfiguration().validate()
  }
}
