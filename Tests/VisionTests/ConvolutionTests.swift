import Basics
import Images
import Layers
import Settings
import Tensors
import Testing

@testable import Vision

/// Convolution and pooling against their definitions in Double, values and difference quotients.
@Suite struct ConvolutionTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var window = Window.centred(3)
    var input = 4, output = 5, groups = 1
    var height = 6, width = 7, batch = 2
    var bias = true
    var testDescription: String {
      "\(window.size)² s\(window.stride) p\(window.padding) d\(window.dilation), \(input)→\(output)/\(groups), "
        + "\(batch)×\(height)×\(width)"
    }
  }

  static let cases: [Case] = [
    Case(), Case(window: .centred(3, stride: 2)), Case(window: Window(3, padding: 2, dilation: 2)),
    Case(window: Window(2, stride: 2)), Case(window: Window(3, stride: 3, padding: 4), bias: false),
    Case(window: Window(1)), Case(window: Window(1, stride: 2)), Case(window: Window(1), groups: 1, batch: 9),
    Case(input: 6, output: 4, groups: 2), Case(input: 3, output: 3, groups: 3),
    Case(window: Window(3, stride: 2, padding: 1, dilation: 2), input: 4, output: 8, groups: 4),
    // Groups of at most eight channels on either side have a road of their own; of nine they have not.
    Case(input: 33, output: 33, groups: 33),
    Case(window: .centred(3, stride: 2), input: 16, output: 16, groups: 16),
    Case(window: .centred(5), input: 6, output: 18, groups: 6, height: 2, width: 3),
    Case(window: Window(3, stride: 2, padding: 4, dilation: 3), input: 8, output: 6, groups: 2, height: 9),
    Case(window: Window(1), input: 8, output: 8, groups: 2), Case(input: 10, output: 16, groups: 2),
    Case(input: 18, output: 18, groups: 2), Case(input: 8, output: 18, groups: 2),
    Case(window: .centred(3), input: 20, output: 20, groups: 20, height: 1, width: 1, batch: 1, bias: false),
    Case(window: .centred(7), input: 1, output: 1, height: 1, width: 1, batch: 1),
    Case(window: .centred(5), input: 1, output: 2, height: 1, width: 65, batch: 1),
    Case(window: Window(6), height: 6, width: 6), Case(input: 64, output: 3, height: 2, width: 2, batch: 1),
    Case(window: .centred(7, stride: 2), input: 3, output: 33, height: 9, width: 9, batch: 1),
  ]

  private func bench(_ test: Case, threads: Int = 2, ledger: MemoryLedger? = nil) throws -> ImageBench {
    try ImageBench(
      test.input, Grid(height: test.height, width: test.width), batch: test.batch, threads: threads,
      ledger: ledger
    ) {
      $0.convolution(
        "c", from: test.input, to: test.output, test.window, groups: test.groups, bias: test.bias)
    }
  }

  @Test("a convolution is its definition", arguments: cases)
  func definition(test: Case) throws { try bench(test).check(2e-6, gradients: 1e-5) }

  @Test("results and gradients have the same bits on any number of threads", arguments: [1, 2, 8])
  func threads(groups: Int) throws {
    // Enough work to be shared out, and blocks of windows that end inside an image.
    let test = Case(input: 32, output: 24, groups: groups, height: 21, width: 19, batch: 3)
    func bits(_ threads: Int) throws -> [[Float]] {
      let bench = try bench(test, threads: threads)
      let (y, pullback) = try bench.layer.forward(bench.x, bench.run)
      let dx = try pullback(y)
      return [y.array(), dx.array(), bench.run.state.gradients.array()]
    }
    let one = try bits(1)
    #expect(try bits(2) == one)
    #expect(try bits(5) == one)
  }

  @Test(
    "beside its result a convolution holds packed weights and two blocks a worker; its way back about a megabyte"
  )
  func memory() throws {
    let ledger = MemoryLedger()
    let test = Case(input: 8, output: 8, height: 96, width: 96, batch: 1)
    let bench = try bench(test, threads: 2, ledger: ledger), image = 4 * 96 * 96 * 8
    let before = ledger.currentBytes
    ledger.resetPeak()
    let (y, pullback) = try bench.layer.forward(bench.x, bench.run)
    // Columns of packed weights are rounded up to a tile of at most 64.
    #expect(ledger.peakBytes - before <= image + 4 * (72 * 64 + 2 * 2 * 96 * 72))
    ledger.resetPeak()
    let held = ledger.currentBytes
    _ = try pullback(y)
    // dx, patches and their gradients, and what the two products pack of them.
    #expect(ledger.peakBytes - held <= image + 4 * 4 * (1 << 18))
  }

  @Test("narrow groups hold their filters and, of more than one channel, an input spread over the outputs")
  func narrowMemory() throws {
    for (input, spread) in [(8, 0), (16, 1)] {
      let ledger = MemoryLedger()
      let test = Case(input: input, output: input, groups: 8, height: 48, width: 48, batch: 2)
      let bench = try bench(test, ledger: ledger), image = 4 * 2 * 48 * 48 * input
      let before = ledger.currentBytes
      ledger.resetPeak()
      let (y, pullback) = try bench.layer.forward(bench.x, bench.run)
      #expect(ledger.peakBytes - before <= (1 + spread) * image + 4 * 9 * input)
      ledger.resetPeak()
      let held = ledger.currentBytes
      _ = try pullback(y)
      // dx, and with spread inputs what is spread, what comes back of it, and dx of it.
      #expect(ledger.peakBytes - held <= (1 + 2 * spread) * image + 4 * 3 * 10 * input)
    }
  }

  @Test("the closed form of operations is what the definition multiplies", arguments: cases)
  func operations(test: Case) throws {
    let bench = try bench(test), layer = try #require(bench.layer as? Convolution)
    var size = WalkSize(batch: test.batch, length: bench.grid.count)
    size.grid = bench.grid
    let definition = bench.definition
    _ = definition.apply(layer, bench.pixels)
    #expect(
      layer.work(on: size).reduce(0) { $0 + $1.linearOperations } == 2 * Double(definition.count.products))
  }

  @Test("a window that is larger than the padded image is refused in one line")
  func refusal() throws {
    let bench = try bench(Case(window: Window(9, padding: 1), height: 6, width: 20))
    let error = #expect(throws: ConfigurationError.self) { try bench.layer.forward(bench.x, bench.run) }
    #expect("\(try #require(error))".contains("sides of at least 7 for the window of 9 in c"))
  }

  @Test(
    "pooling is its definition, whatever windows cover", arguments: [WindowPooling.Kind.max, .mean],
    [
      (Window.centred(3, stride: 2), 7, 6), (Window(2, stride: 2), 5, 4),
      (Window(3, stride: 1, padding: 1), 1, 1),
      (Window(2, padding: 1, dilation: 2), 1, 3), (Window(1, stride: 3), 4, 4), (Window(4), 4, 4),
    ])
  func pooling(kind: WindowPooling.Kind, test: (window: Window, height: Int, width: Int)) throws {
    try ImageBench(3, Grid(height: test.height, width: test.width)) { _ in
      WindowPooling("p", kind, test.window)
    }.check(1e-6, gradients: 1e-6)
  }

  @Test(
    "global pooling is its definition", arguments: [WindowPooling.Kind.max, .mean], [1, 2, 63, 64, 65, 257])
  func global(kind: WindowPooling.Kind, width: Int) throws {
    try ImageBench(3, Grid(height: 1, width: width)) { _ in GlobalPooling(kind) }.check(1e-6, gradients: 1e-6)
  }

  @Test("what is no number is the largest, and of equals the first is")
  func largest() throws {
    let context = ExecutionContext(threads: 1), grid = Grid(height: 1, width: 4)
    let x = try Tensor([1, .nan, 5, 5], shape: [4, 1])
    let (y, winners) = try context.maxPool(x, over: grid, Window(1, stride: 1))
    #expect(winners.array(count: 4) == [0, 1, 2, 3] && y.array()[1].isNaN)
    let (top, at) = try context.maxRows(x, batch: 1)
    #expect(top.array()[0].isNaN && at.array(count: 1) == [1])
    let (_, first) = try context.maxRows(try Tensor([1, 2, 5, 5], shape: [4, 1]), batch: 1)
    #expect(first.array(count: 1) == [2])
  }
}
