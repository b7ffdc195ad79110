import Attention
import AttentionCore
import Basics
import Settings
import Tensors
import Testing

@testable import Pages

/// What `check` says first of a variant that is wrong: a sentence, a command and a picture, on the smallest shape.
@Suite struct ConformanceFailureTests {
  /// Tiles without key 3 for the queries from 5 on, unless it is told to be right.
  struct Lossy: PatternVariant {
    struct Configuration: VariantConfiguration {
      var lost = 3
      static let parameters: [Parameter<Self>] = [
        .integer("lost", \.lost, in: 0...1000, help: "the key that is lost")
      ]
    }
    static let card = VariantCard(id: "lossy", title: "", paper: "", idea: "", equation: "")
    let configuration: Configuration
    let shape: AttentionShape
    let pattern: TilePattern

    init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey) throws(ConfigurationError)
    {
      self.configuration = configuration
      self.shape = shape
      let lost = configuration.lost
      pattern = TilePattern(for: shape) { query, key in query < 5 || key != lost }
    }

    func multiplicity(batch: Int, head: Int, query: Int, key: Int) -> Int {
      shape.isCausal && key > query + shape.queryOffset ? 0 : 1
    }
  }

  /// Full attention whose output is off in element 2 of a value from query 3 on.
  struct Off: AttentionVariant {
    struct Configuration: VariantConfiguration { static let parameters: [Parameter<Self>] = [] }
    static let card = VariantCard(id: "off", title: "", paper: "", idea: "", equation: "")
    let configuration: Configuration
    let full: FullAttention
    var shape: AttentionShape { full.shape }
    var planBytes: Int { full.planBytes }

    init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey) throws(ConfigurationError)
    {
      self.configuration = configuration
      full = try FullAttention(.init(), for: shape, key: key)
    }

    func cost(of pass: PassKind) -> Cost { full.cost(of: pass) }
    func definition(of inputs: Operands) throws -> any Definition { try full.definition(of: inputs) }

    func forward(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
      let right = try full.forward(inputs, in: context)
      var output = right.output.array()
      for index in output.indices {
        let (row, element) = (index / shape.valueDim % shape.queryLength, index % shape.valueDim)
        if row >= 3, element == 2 { output[index] += 0.5 }
      }
      return Forward(output: try Tensor(output, shape: shape.outputShape), lse: right.lse) {
        try right.backward($0, in: $1)
      }
    }
  }

  private static func failure<V: AttentionVariant>(
    _ type: V.Type, _ settings: [String: ParameterValue]? = nil, seed: UInt64 = 1
  ) throws -> ConformanceFailure {
    let conformance = Conformance(type, key: RandomKey(seed: seed), instructionSets: [.portable])
    let report = conformance.run(.quick, settings: settings)
    return try #require(ConformanceFailure(report, of: conformance, program: "lab", seed: seed))
  }

  @Test("tiles that lose a key: which one, on as few rows and keys as show it, drawn")
  func tiles() throws {
    let failure = try Self.failure(Lossy.self)
    #expect(
      failure.sentence.hasPrefix(
        "its tiles are not the pairs of its definition: row 5, key 3: 0 in the tiles, 1 defined (the first of "
      ))
    #expect(failure.command == "lab check lossy --n 6 --key-length 4 --head-dim 1")
    let picture = try #require(failure.picture)
    #expect(picture.split(separator: "\n").allSatisfy { $0.count <= 80 }, "\(picture)")
    #expect(picture.hasSuffix("     4 ####\n     5 ###-"), "\(picture)")
    #expect(failure.headline(variant: "lossy").hasPrefix("lossy: FAILED: its tiles"))
  }

  @Test("settings and seed are in the command, as a shell takes them")
  func settings() throws {
    let failure = try Self.failure(Lossy.self, ["lost": .int(0)], seed: 7)
    #expect(failure.command == "lab check lossy --n 6 --key-length 1 --head-dim 1 --seed 7 --set lost=0")
  }

  @Test("an output that is off: how many numbers, the worst with what it should be, drawn")
  func output() throws {
    let failure = try Self.failure(Off.self)
    #expect(
      failure.sentence.hasPrefix(
        "its output is not that of its definition in 1 of 12 numbers; sequence 0, head 0, query 3, element 2 is "
      ))
    #expect(failure.command == "lab check off --n 4 --key-length 1 --head-dim 1 --value-dim 3 --isa portable")
    #expect(failure.picture?.hasSuffix("     2 ...\n     3 ..x") == true, "\(failure.picture ?? "")")
  }

  @Test("the command's shape fails as the whole check does, and a right variant leads with nothing")
  func again() throws {
    let conformance = Conformance(Off.self, instructionSets: [.portable])
    let shape = try AttentionShape(queryLength: 4, keyLength: 1, headDim: 1, valueDim: 3)
    #expect(conformance.run(on: shape, settings: [:], .quick).failures.map(\.quantity) == ["output"])
    let right = Conformance(FullAttention.self, instructionSets: [.portable])
    let report = right.run(on: shape, settings: [:], .full)
    #expect(report.passed && report.checks.contains { $0.group == "threads" })
    #expect(ConformanceFailure(report, of: right, program: "lab", seed: 1) == nil)
  }
}
