import Basics
import Settings
import Tensors

/// The check that any variant, ours or a user's, is put through before one of its timings is believed.
///
/// Every check compares against the definition in Double within an `ErrorBudget`, or demands equal bits.
public struct Conformance: Sendable {
  /// How much to try.
  public enum Level: String, CaseIterable, Sendable {
    /// The definition, gradients and tiles on the small shapes.
    case quick
    /// Everything.
    case full
  }

  /// The variant.
  public let type: any AttentionVariant.Type
  /// Names the random inputs and the variant's own draws.
  public let key: RandomKey
  /// The instruction sets to try; the first is used where one is enough.
  public let instructionSets: [InstructionSet]
  /// How the inputs are stored.
  public let precision: Precision

  /// Creates a check.
  public init(
    _ type: any AttentionVariant.Type, key: RandomKey = RandomKey(seed: 1),
    instructionSets: [InstructionSet] = InstructionSet.available, precision: Precision = .float32
  ) {
    precondition(!instructionSets.isEmpty, "no instruction set to check")
    self.type = type
    self.key = key
    self.instructionSets = instructionSets
    self.precision = precision
  }

  /// Puts the variant through all cases, with its defaults and its sample configurations, or with the given settings.
  public func run(_ level: Level, settings: [String: ParameterValue]? = nil) -> ConformanceReport {
    var checks: [ConformanceCheck] = []
    do {
      let cases = try ConformanceCase.standard(thorough: level == .full)
      for settings in settings.map({ [$0] }) ?? Conformance.samples(of: type) {
        for item in cases {
          checks += run(item.with(precision: precision), settings, thorough: level == .full)
        }
        checks += extremes(settings)
        if level == .full { checks += invariants(settings) }
      }
    } catch {
      checks.append(failure("set-up", "\(type.card.id)", error))
    }
    return ConformanceReport(variant: type.card.id, checks: checks)
  }

  /// What must hold to the last bit, without the definition: threads, seeds, strides, ledger, causality, padding.
  public func exact(_ settings: [String: ParameterValue]) -> ConformanceReport {
    ConformanceReport(variant: type.card.id, checks: invariants(settings))
  }

  /// What the runner asks before it times a cell: output, LSE and gradients against the definition at the cell's shape class,
  /// and, for a pattern, the tiles of some rows at the cell's own size.
  public func shapeClass(of shape: AttentionShape, settings: [String: ParameterValue]) -> ConformanceReport {
    var checks: [ConformanceCheck] = []
    do {
      let variant = try type.make(settings: settings, shape: shape, key: key("variant"))
      // Fewer heads and rows: what names those that are gone is fitted, so that nothing is skipped.
      let small = try ConformanceCase.shapeClass(of: shape)
      checks += run(small, try type.fitted(settings, to: small.shape), thorough: false)
      checks += sampledTiles(variant)
    } catch {
      checks.append(failure("shape class", shape.summary, error))
    }
    return ConformanceReport(variant: type.card.id, checks: checks)
  }

  /// The default settings and those of the sample configurations.
  public static func samples(of type: any AttentionVariant.Type) -> [[String: ParameterValue]] {
    func open<V: AttentionVariant>(_ type: V.Type) -> [[String: ParameterValue]] {
      var all: [[String: ParameterValue]] = [V.Configuration().settings]
      for sample in V.Configuration.samples where !all.contains(sample.settings) {
        all.append(sample.settings)
      }
      return all
    }
    return open(type)
  }

  /// One case: the definition on every instruction set, and what the case alone shows.
  func run(_ item: ConformanceCase, _ settings: [String: ParameterValue], thorough: Bool)
    -> [ConformanceCheck]
  {
    do {
      let variant = try type.make(settings: settings, shape: item.shape, key: key("variant"))
      let subject = subject(variant)
      var checks: [ConformanceCheck] = []
      do {
        let inputs = try item.inputs(key("inputs"), of: variant)
        let definition = try variant.definition(of: inputs)
        checks += try againstDefinition(variant, definition, inputs, item, subject, thorough: thorough)
        checks += tiles(variant, item.group, subject)
        checks += neededPairs(variant, definition, subject)
      } catch {
        checks.append(failure(item.group, subject, error))
      }
      return checks.on(ConformanceTrial(.definition, item, settings))
    } catch {
      return [skipped(item.group, item.shape.summary, error)]
    }
  }

  func subject(_ variant: any AttentionVariant) -> String {
    let settings = variant.configurationSummary
    return variant.shape.summary + (settings.isEmpty ? "" : "; " + settings)
  }

  func failure(_ group: String, _ subject: String, _ error: any Error) -> ConformanceCheck {
    ConformanceCheck(
      group: group, quantity: "runs", subject: subject, error: 1, bound: 0, verdict: .failed,
      detail: "threw: \(error)")
  }

  func skipped(_ group: String, _ subject: String, _ error: any Error) -> ConformanceCheck {
    ConformanceCheck(
      group: group, quantity: "runs", subject: subject, error: 0, bound: 0, verdict: .skipped,
      detail: "\(error)")
  }

  func context(_ threads: Int = 2, ledger: MemoryLedger? = nil) -> ExecutionContext {
    ExecutionContext(threads: threads, instructionSet: instructionSets[0], ledger: ledger)
  }
}
