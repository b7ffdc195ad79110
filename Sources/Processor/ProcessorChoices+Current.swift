import Basics

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Where the choices of this process come from.
public enum ChoiceSource: Hashable, Sendable, CustomStringConvertible {
  /// The equations, from what is read of the processor.
  case derived
  /// A file of `attnlab bench --tune`.
  case file(String)
  /// `ATTNLAB_CHOICES`.
  case environment

  /// In words.
  public var description: String {
    switch self {
    case .derived: "derived from caches and instruction set"
    case .file(let path): "tuned here, kept in \(path)"
    case .environment: "ATTNLAB_CHOICES says so"
    }
  }

  /// In words that name no place of this machine: for records that are given to others.
  public var recorded: String {
    if case .file = self { "tuned here" } else { description }
  }
}

extension ProcessorChoices {
  /// The choices of an instruction set on this processor: those of the environment, else of the file, else derived.
  public struct Resolved: Sendable {
    /// The values.
    public let choices: ProcessorChoices
    /// Where they come from.
    public let source: ChoiceSource
    /// One line when a file is there and is not used, else `nil`.
    public let warning: String?
  }

  /// In place of what this process would choose: for tests and for tuning. Only choices of patterns and of new contexts, made on the
  /// thread of the task, follow it.
  @TaskLocal public static var override: ProcessorChoices?

  /// Those of the default instruction set.
  public static var current: ProcessorChoices { of(.default) }

  /// Those of an instruction set.
  /// - Complexity: O(1); the file is read once.
  public static func of(_ set: InstructionSet) -> ProcessorChoices { override ?? resolved(set).choices }

  /// Those of an instruction set, and where they come from.
  public static func resolved(_ set: InstructionSet = .default) -> Resolved {
    switch set {
    case .avx512: avx512
    case .avx2: avx2
    case .portable: portable
    }
  }

  private static let avx512 = Resolved(.here(.avx512))
  private static let avx2 = Resolved(.here(.avx2))
  private static let portable = Resolved(.here(.portable))

  /// One line when `ATTNLAB_CHOICES` cannot be honoured, else `nil`; the program refuses to start on it.
  public static var environmentProblem: String? {
    do { try _ = Resolved.environmentText.map { try ProcessorChoices(parsing: $0, on: .here()) } } catch {
      return "ATTNLAB_CHOICES: \(error)"
    }
    return nil
  }

  /// Reads the words of `ATTNLAB_CHOICES`, joined by commas: first perhaps `assumed` or `derived`, then `name=value`.
  /// - Parameters:
  ///   - text: the words.
  ///   - processor: what the other values are derived from.
  ///   - base: what other values are where no first word says so; `nil`: derived ones.
  /// - Throws: `UsageError`: a name that is unknown, a value that is not allowed.
  public init(
    parsing text: String, on processor: ProcessorDescription, base: ProcessorChoices? = nil
  ) throws(UsageError) {
    self = base ?? ProcessorChoices(derivedFor: processor)
    for (place, word) in text.split(separator: ",").map({ String($0).trimmed }).enumerated() {
      if place == 0, word == "assumed" || word == "derived" {
        self = word == "assumed" ? .assumed : ProcessorChoices(derivedFor: processor)
        continue
      }
      let halves = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      guard halves.count == 2 else {
        throw UsageError("\(shown(word)): it takes name=value, or first assumed or derived")
      }
      try set(halves[0], halves[1])
    }
  }

  private mutating func set(_ name: String, _ value: String) throws(UsageError) {
    if name == Self.roadName {
      guard let road = BFloat16Road(rawValue: value) else {
        throw UsageError("\(name)=\(shown(value)): it takes products or upconvert")
      }
      bfloat16Road = road
      return
    }
    guard let choice = ProcessorChoice.named(name) else {
      let names = ProcessorChoice.all.map(\.name) + [Self.roadName]
      throw UsageError(
        "\(shown(name)) is no choice\(suggestion(near: name, among: names)); attnlab doctor lists them")
    }
    guard let number = Int(value) else {
      throw UsageError("\(name)=\(shown(value)): it takes a whole number")
    }
    if let problem = choice.problem(with: number) { throw UsageError(problem) }
    self[choice] = number
  }
}

extension ProcessorChoices.Resolved {
  fileprivate static var environmentText: String? {
    getenv("ATTNLAB_CHOICES").map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
  }

  fileprivate init(_ processor: ProcessorDescription) {
    self.init(processor, environment: Self.environmentText, file: ChoiceFile.path)
  }

  /// Resolves the choices of a processor.
  /// - Parameters:
  ///   - processor: the processor.
  ///   - environment: the text of `ATTNLAB_CHOICES`; `nil`: it is not set. One that cannot be read counts as not set: the program
  ///     has refused to start on it.
  ///   - file: where tuned choices may be; `nil`: nowhere.
  public init(_ processor: ProcessorDescription, environment: String?, file: String?) {
    let derived = ProcessorChoices(derivedFor: processor)
    let starts = environment.flatMap { $0.split(separator: ",").first.map { String($0).trimmed } }
    let kept: ProcessorChoices?, problem: String?
    if starts == "assumed" || starts == "derived" {
      (kept, problem) = (nil, nil)
    } else {
      do throws(UsageError) {
        (kept, problem) = (
          try file.flatMap { path throws(UsageError) in try ChoiceFile.read(path, for: processor) }, nil
        )
      } catch {
        (kept, problem) = (nil, error.description)
      }
    }
    let base = kept ?? derived
    if let environment, let forced = try? ProcessorChoices(parsing: environment, on: processor, base: base) {
      (choices, source, warning) = (forced, .environment, problem)
    } else if kept != nil, let file {
      (choices, source, warning) = (base, .file(file), nil)
    } else {
      (choices, source, warning) = (derived, .derived, problem)
    }
  }
}
