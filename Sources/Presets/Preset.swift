import AttentionCore
import Basics
import Foundation
import Records
import Settings

/// What a run is to do: read from YAML, checked as a whole before anything starts.
public struct Preset: Sendable {
  /// The name: the file's, without folder and extension. Results go to `results/<name>/`.
  public let name: String
  /// The file that it was read from.
  public let file: String
  /// The file as records name it: below the working folder by its path, elsewhere by its name alone.
  var shortFile: String {
    let here = FileManager.default.currentDirectoryPath + "/"
    if file.hasPrefix(here) { return String(file.dropFirst(here.count)) }
    return file.hasPrefix("/") || file.hasPrefix("..") ? URL(fileURLWithPath: file).lastPathComponent : file
  }
  /// One line: what it is.
  public let title: String
  /// What it asks; may be empty.
  public let question: String
  /// The memory that a cell may use; `nil`: three quarters of the machine's.
  public var memoryLimit: Int?
  /// The time that a cell may use; `nil`: no limit.
  public var timeLimit: Double?
  /// What is to be run, in order.
  public let experiments: [Experiment]
  /// The kinds of experiment that it was read with.
  public let kinds: ExperimentCatalog
  /// The YAML as it was read, followed by the `--set` flags that changed it: what `environment.json` keeps.
  public let source: String

  /// A named part of a preset.
  public struct Experiment: Sendable {
    /// The name, unique in the preset; empty for the only experiment of a preset that gives it none.
    public let name: String
    /// What kind of experiment it is.
    public let kind: any ExperimentKind.Type
    /// What it asks for: the plan of its kind.
    public let plan: any Sendable
  }

  /// Reads a preset.
  /// - Parameters:
  ///   - file: the YAML file.
  ///   - sets: `path=value` flags that change it.
  ///   - catalog: the variants that exist.
  ///   - kinds: the kinds of experiment that exist.
  /// - Throws: `UsageError` with file, line and what is allowed.
  public init(
    file: String, sets: [String] = [], catalog: Catalog, kinds: ExperimentCatalog
  ) throws(UsageError) {
    let text: String
    do throws(InputFile.Failure) {
      text = try PresetFinder.text(of: file)
    } catch {
      throw UsageError(error.description)
    }
    try self.init(yaml: text, file: file, sets: sets, catalog: catalog, kinds: kinds)
  }

  /// Reads a preset from text.
  /// - Throws: `UsageError` with file, line and what is allowed.
  public init(
    yaml: String, file: String, sets: [String] = [], catalog: Catalog, kinds: ExperimentCatalog
  ) throws(UsageError) {
    guard var root = try PresetNode.parse(yaml, place: { "\(file):\($0)" }) else {
      throw UsageError("\(file): the preset is empty; see Experiments/README.md for what it takes")
    }
    if case .scalar("", _) = root.content {
      throw UsageError("\(file): the preset is empty; see Experiments/README.md for what it takes")
    }
    if root.entries != nil {
      root = try root.inTodaysSpelling(keeping: Set(catalog.ids))
      for flag in sets { try Preset.apply(flag, to: &root, keeping: Set(catalog.ids)) }
    }
    let url = URL(fileURLWithPath: file)
    name = url.deletingPathExtension().lastPathComponent
    self.file = file
    source =
      yaml + (sets.isEmpty || yaml.hasSuffix("\n") ? "" : "\n") + sets.map { "# --set \($0)\n" }.joined()
    var reader = try FieldReader(root)
    title = try reader.value("title", .text, default: "")
    question = try reader.value("question", .text, default: "")
    memoryLimit = try reader.optional("memory_limit", .bytes)
    timeLimit = try reader.optional("time_limit", .seconds)
    self.kinds = kinds
    let context = PlanContext(catalog: catalog, folder: Preset.folder(of: file))
    let list = reader.node("experiments")
    let shared = (root.entries ?? []).filter { !Preset.ownFields.contains($0.key) }
    guard let list else {
      let body = PresetNode(.mapping(shared), place: "\(file):1")
      // Not the preset's name: a file that is renamed holds the same cells.
      let own = root["name"]?.text ?? ""
      experiments = [try Preset.experiment(own, body, defaults: [], kinds, context).experiment]
      return
    }
    guard let elements = list.elements, !elements.isEmpty else {
      throw list.error(
        "experiments: \(list.summary) is not allowed; it takes a list of experiments with names")
    }
    var found: [Experiment] = []
    // A field above the experiments is for those whose kind has it; one that none has is a mistake.
    var unasked: [(name: String, error: UsageError)]?
    for element in elements {
      guard let name = element["name"]?.text, !name.isEmpty else {
        throw element.error("an experiment needs a name")
      }
      guard !found.contains(where: { $0.name == name }) else {
        throw element.error("two experiments are named \(shown(name))")
      }
      let (experiment, left) = try Preset.experiment(name, element, defaults: shared, kinds, context)
      found.append(experiment)
      unasked =
        unasked.map { before in before.filter { old in left.contains { $0.name == old.name } } } ?? left
    }
    if let unknown = unasked?.first { throw unknown.error }
    experiments = found
  }

  private static let ownFields = ["title", "question", "memory_limit", "time_limit", "experiments"]

  private static func experiment(
    _ name: String, _ node: PresetNode, defaults: [PresetNode.Entry], _ kinds: ExperimentCatalog,
    _ context: PlanContext
  ) throws(UsageError) -> (experiment: Experiment, unasked: [(name: String, error: UsageError)]) {
    var reader = try FieldReader(node, defaults: defaults), context = context
    context.name = reader.node("name")?.text ?? ""
    let id = try reader.value("experiment", .words(kinds.ids), default: kinds.ids.first ?? "")
    guard let kind = kinds.types.first(where: { $0.id == id }) else {
      throw UsageError("\(reader.place): there is no kind of experiment")
    }
    let plan = try kind.plan(&reader, context)
    return (Experiment(name: name, kind: kind, plan: plan), reader.unasked)
  }

  /// All cells of the experiments of one kind, in order.
  /// - Throws: `UsageError` for a plan that has too many, or such as cannot be.
  public func cells<Kind: ExperimentKind>(of kind: Kind.Type) throws(UsageError) -> [Kind.Cell] {
    var cells: [Kind.Cell] = []
    for (experiment, plan) in plans(of: kind) {
      cells += try kind.cells(of: plan, preset: name, experiment: experiment)
    }
    return cells
  }

  /// The files and folders that its cells read.
  /// - Throws: `UsageError` for cells that cannot be.
  public func inputPaths() throws(UsageError) -> Set<String> {
    func paths<Kind: ExperimentKind>(_ kind: Kind.Type) throws(UsageError) -> [String] {
      try cells(of: kind).flatMap { kind.inputs(of: $0) }
    }
    var found: Set<String> = []
    for kind in kinds.types { found.formUnion(try paths(kind)) }
    return found
  }

  /// The plans of one kind, each with its experiment's name.
  package func plans<Kind: ExperimentKind>(of kind: Kind.Type) -> [(experiment: String, plan: Kind.Plan)] {
    experiments.compactMap { experiment in (experiment.plan as? Kind.Plan).map { (experiment.name, $0) } }
  }

  /// What the plans of one kind ask for, by the names of experiments that ask for some.
  package func byExperiment<Kind: ExperimentKind, Value>(
    of kind: Kind.Type, _ values: (Kind.Plan) -> [Value]
  ) -> [String: [Value]] {
    var found: [String: [Value]] = [:]
    for (experiment, plan) in plans(of: kind) where !values(plan).isEmpty { found[experiment] = values(plan) }
    return found
  }

  /// Fields that may stand above all experiments without belonging to each kind.
  package static let sharedFields = ["experiment", "name"]

  private static func apply(
    _ flag: String, to root: inout PresetNode, keeping kept: Set<String>
  ) throws(UsageError) {
    let place = "--set \(shown(flag))"
    guard let equals = flag.firstIndex(of: "=") else {
      throw UsageError("\(place): write it as path=value, such as n=1024 or input.text=notes.txt")
    }
    let names = Set((root["experiments"]?.elements ?? []).compactMap { $0["name"]?.text }).union(kept)
    let path = flag[..<equals].split(separator: ".", omittingEmptySubsequences: false).map { part in
      names.contains(String(part)) ? String(part) : Spelling.noted(String(part))
    }
    let text = String(flag[flag.index(after: equals)...])
    let value =
      try PresetNode.parse(text, place: { _ in place })
      ?? PresetNode(.scalar("", isQuoted: true), place: place)
    // As the value of its key: a line of attention is one wherever it is given.
    let pair = PresetNode.Entry(key: path.last ?? "", place: place, value: value)
    let today = try PresetNode(.mapping([pair]), place: place).inTodaysSpelling(keeping: names)
    try root.set(path, to: today.entries?.first?.value ?? value, flag: place)
  }

  private static func folder(of file: String) -> String {
    guard let slash = file.lastIndex(of: "/"), !EmbeddedPresets.holds(file) else { return "." }
    return String(file[..<slash])
  }
}
