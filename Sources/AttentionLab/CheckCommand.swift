import ArgumentParser
import AttentionCore
import Basics
import Commands
import Models
import Pages
import Tensors

/// `attnlab check`: the conformance of the variants, ours and added ones.
struct CheckCommand: FileCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract:
      "Put variants through the conformance check: oracle, gradients, causality, padding, threads, seeds.",
    discussion: HelpText.page(
      """
      Every error is compared with a bound derived from float32 arithmetic; bits must be equal where they should.
      Of layers, such as se or vit, gradients are compared with difference quotients, and bits over threads.
      A failure leads the page: one sentence, a command that shows it on the smallest shape found, and where it is wrong.
      """,
      examples: [
        "attnlab check",
        "attnlab check sliding-window --set left=100 --set dilation=2",
        "attnlab check --quick --json",
        "attnlab check chunked --n 33 --key-length 90 --causal --set chunk=16",
      ]))

  @Argument(help: "A variant or a layer; without one, all are checked.", completion: .variants)
  var variant: String?

  @Option(
    name: .customLong("set"),
    help: "A setting of the variant, name=value; may be repeated. Default: its samples.",
    completion: .settings)
  var sets: [String] = []

  @OptionGroup(title: "One shape") var one: ShapeOptions

  @Option(help: "One instruction set. Default: all that the processor has.")
  var isa: InstructionSet?

  @Option(help: "How q, k and v are stored.")
  var precision = Precision.float32

  @Option(help: "Names the random inputs.")
  var seed: UInt64 = 1

  @Flag(help: "The oracle, gradients and tiles on small shapes only.")
  var quick = false

  @Flag(help: "Print every check, not only the worst of each kind.")
  var verbose = false

  @Flag(help: "Print JSON.")
  var json = false

  func files() -> CommandFiles { .none }

  func run() throws {
    let catalog = Installed.catalog
    if variant == nil && !sets.isEmpty {
      throw UsageError("--set: it takes a variant, as in attnlab check full")
    }
    let shape = try one.shape()
    if variant == nil && shape != nil {
      throw UsageError("--n: it takes a variant, as in attnlab check full --n 33")
    }
    let cards = ModelConfiguration.cards.filter {
      $0.id == variant || variant == nil && !catalog.ids.contains($0.id)
    }
    let isLayer = variant.map { !catalog.ids.contains($0) && !cards.isEmpty } ?? false
    guard !isLayer || (shape == nil && self.sets.isEmpty && precision == .float32) else {
      throw UsageError(
        "\(variant ?? "a layer"): a layer is checked as it is: leave out --set, --precision and shapes")
    }
    let types = isLayer ? [] : try variant.map { [try catalog.type(of: $0)] } ?? catalog.types
    let sets = try InstructionSet.available(isa).map { [$0] } ?? InstructionSet.available
    var reports: [ConformanceReport] = []
    var members: [JSONValue] = []
    for type in types {
      let settings = try VariantSettings.parse(self.sets, for: type)
      let conformance = Conformance(
        type, key: RandomKey(seed: seed), instructionSets: sets, precision: precision)
      if let shape { _ = try type.make(settings: settings, shape: shape, key: RandomKey(seed: seed)) }
      let report =
        shape.map { conformance.run(on: $0, settings: settings, quick ? .quick : .full) }
        ?? conformance.run(quick ? .quick : .full, settings: self.sets.isEmpty ? nil : settings)
      reports.append(report)
      let failure = ConformanceFailure(report, of: conformance, program: Self.program, seed: seed)
      members.append(report.json(failure))
      guard !json else { continue }
      if let failure {
        show(failure.headline(variant: report.variant))
        print(failure.exactLines)
      }
      show(ConformancePage(report, verbose: verbose).text)
    }
    for card in isLayer || variant == nil ? cards : [] {
      let report = try LayerCheck(
        card, catalog: catalog, key: RandomKey(seed: seed)("layer"), instructionSets: sets
      ).run()
      reports.append(report)
      members.append(report.json(nil))
      if !json { show(ConformancePage(report, verbose: verbose).text) }
    }
    if json { print(JSONValue.object(["variants": .array(members)]).pretty) }
    let failed = reports.filter { !$0.passed }.map(\.variant)
    if !failed.isEmpty { throw CheckFailure("attnlab check: failed: \(failed.joined(separator: ", "))") }
  }

  /// The name by which the user called the program.
  private static var program: String {
    CommandLine.arguments.first?.split(separator: "/").last.map(String.init) ?? "attnlab"
  }
}
