import AttentionCore
import Basics
import ImageTasks
import LongText
import Measuring
import Models
import Training
import Presets
import Records
import Settings
import Tasks
import Tensors
import Trainings

/// The JSON Schema of presets, from the declarations of fields, variants, tasks, models and trainings: editors complete
/// and check a preset by it. What a run checks beside it (sizes that fit each other, points that differ) it does not.
package struct PresetSchema {
  private let catalog: Catalog
  private let kinds: ExperimentCatalog

  /// - Parameters:
  ///   - catalog: the variants that a preset may name.
  ///   - kinds: the kinds of its experiments.
  package init(catalog: Catalog, kinds: ExperimentCatalog) {
    self.catalog = catalog
    self.kinds = kinds
  }

  /// The schema.
  package var json: JSONValue {
    let shared: [JSONValue.Member] = [
      text("title", "one line: what the preset is"), text("question", "what it asks"),
      .init(
        key: "memory_limit", value: anyOf(["string", "number"], "the most memory of a cell, such as 8GiB")),
      .init(key: "time_limit", value: anyOf(["string", "number"], "the most time of a cell, such as 60s")),
      .init(
        key: "experiments",
        value: described(
          .object(["type": .string("array"), "items": .object(["$ref": .string("#/$defs/experiment")])]),
          "experiments with a name each; fields above hold for all")),
    ]
    return .object([
      "$schema": .string("https://json-schema.org/draft/2020-12/schema"),
      "title": .string("A preset of attnlab"),
      "type": .string("object"), "properties": .object(shared + fields), "additionalProperties": .bool(false),
      "$defs": .object([
        "experiment": .object([
          "type": .string("object"), "properties": .object(fields), "additionalProperties": .bool(false),
          "required": .array([.string("name")]),
        ])
      ]),
    ])
  }

  /// The fields of an experiment, of whatever kind.
  private var fields: [JSONValue.Member] {
    let kinds = kinds.ids.map(JSONValue.string)
    let own: [JSONValue.Member] = [
      text("name", "the experiment's name: part of its cells' ids"),
      .init(
        key: "experiment",
        value: described(.object(["enum": .array(kinds)]), "what kind it is; by default the first")),
      .init(key: "variants", value: described(variants, "variants with their settings")),
      .init(key: "targets", value: targets),
    ]
    let trainings = ["task", "model", "training", "points", "held_out", "compute", "evaluate", "auxiliary"]
    let cells = Cell.schema.compactMap(member)
    let rest = zip(trainings, [task, model, training, points, points, swept(positive), evaluate, auxiliary])
    return own + cells + rest.map { JSONValue.Member(key: $0, value: $1) }
  }

  /// How a cell is timed is one value; every other field may be a list.
  private static let single: Set = ["warmup", "repeats", "budget"]

  private func member(_ field: Field<Cell>) -> JSONValue.Member? {
    guard let key = field.key else { return nil }
    // What a preset reads in ways of its own: 250ms, all, {text: PATH}.
    let schema =
      switch key {
      case "budget": anyOf(["string", "number"], "")
      case "input": anyOf(["string", "object"], "")
      case "threads":
        JSONValue.object(["anyOf": .array([value(of: field.allowed), .object(["const": .string("all")])])])
      default: value(of: field.allowed)
      }
    let help = field.unit.isEmpty ? field.help : "\(field.help) (\(field.unit))"
    return .init(key: key, value: described(Self.single.contains(key) ? schema : swept(schema), help))
  }

  /// Names, or `{name: {setting: value}}`.
  private var variants: JSONValue {
    let named = catalog.types.map { type in
      JSONValue.Member(
        key: type.card.id, value: mapping(members(VariantDescription(type).parameters), type.card.idea))
    }
    let one = JSONValue.object([
      "anyOf": .array([
        .object(["enum": .array(catalog.ids.map(JSONValue.string))]),
        .object([
          "type": .string("object"), "properties": .object(named), "additionalProperties": .bool(false),
          "minProperties": .int(1), "maxProperties": .int(1),
        ]),
      ])
    ])
    return swept(one)
  }

  /// Of both kinds: a figure, the least that it is to be, and conditions: of cells their fields, of trainings settings by
  /// dotted path.
  private var targets: JSONValue {
    let figures = Set(Target.Figure.allCases.map(\.rawValue) + TrainingTarget.Figure.allCases.map(\.rawValue))
    let ids = JSONValue.object(["enum": .array(catalog.ids.map(JSONValue.string))])
    let roads = JSONValue.object(["enum": .array(BFloat16Road.allCases.map { .string($0.rawValue) })])
    let own: [JSONValue.Member] = [
      .init(key: "figure", value: .object(["enum": .array(figures.sorted().map(JSONValue.string))])),
      .init(key: "at_least", value: .object(["type": .string("number")])), .init(key: "of", value: ids),
      .init(key: "variant", value: swept(ids)), .init(key: "road", value: roads),
      .init(key: "settings", value: .object(["type": .string("object")])),
    ]
    let cells = Cell.schema.compactMap(member)
    let trainings = [("task", taskMembers), ("model", modelMembers), ("training", trainingMembers)]
      .flatMap { section, members in
        members.map { JSONValue.Member(key: "\(section).\($0.key)", value: $0.value) }
      }
    let entry = JSONValue.object([
      "type": .string("object"), "properties": .object(own + cells + trainings),
      "additionalProperties": .bool(false),
      "required": .array([.string("figure"), .string("at_least")]),
    ])
    return described(
      .object(["type": .string("array"), "items": entry]),
      "what rows, or the steps of trainings, are to reach; attnlab bench shows it")
  }

  // MARK: - Trainings

  private var taskID: JSONValue {
    .object(["enum": .array(TaskCatalog.standard.types.map { .string($0.card.id) })])
  }

  private var task: JSONValue {
    let mapping = JSONValue.object([
      "type": .string("object"), "properties": .object(taskMembers), "additionalProperties": .bool(false),
    ])
    return described(.object(["anyOf": .array([taskID, mapping])]), "a task, or its id with its settings")
  }

  private var taskMembers: [JSONValue.Member] {
    // Tasks share names of settings; each allows values of its own.
    var alternatives: [JSONValue.Member] = [.init(key: "id", value: swept(taskID))]
    let way = swept(.object(["type": .string("string")]))
    let wayHelp = "a way around attention before the task, such as windows(length=256, stride=128)"
    alternatives.append(.init(key: TaskCatalog.way, value: described(way, wayHelp)))
    for parameter in TaskCatalog.standard.types.flatMap({ TaskDescription($0).parameters }) {
      let own = swept(value(of: parameter.allowed))
      if let place = alternatives.firstIndex(where: { $0.key == parameter.name }) {
        let both = JSONValue.object(["anyOf": .array([alternatives[place].value, own])])
        alternatives[place] = .init(key: parameter.name, value: both)
      } else {
        alternatives.append(.init(key: parameter.name, value: described(own, parameter.help)))
      }
    }
    return alternatives
  }

  private var model: JSONValue { mapping(modelMembers, "the shape of a model") }

  private var modelMembers: [JSONValue.Member] {
    members(VariantDescription.ParameterDescription.all(of: ModelConfiguration.self))
  }

  private var training: JSONValue { mapping(trainingMembers, "how it is trained") }

  private var trainingMembers: [JSONValue.Member] {
    members(VariantDescription.ParameterDescription.all(of: TrainingConfiguration.self))
  }

  private var points: JSONValue {
    let point = JSONValue.object([
      "type": .string("object"),
      "propertyNames": .object(["pattern": .string("^((task|model|training)\\..+|compute)$")]),
    ])
    return described(
      .object(["type": .string("array"), "items": point, "minItems": .int(1)]),
      "settings by dotted path that change together")
  }

  private var evaluate: JSONValue {
    let question = JSONValue.object([
      "type": .string("object"),
      "properties": .object([
        "attention": swept(.object(["type": .string("string")])),
        "batches": .object(["type": .string("integer"), "minimum": .int(1)]),
        "memory": swept(.object(["type": .string("integer"), "minimum": .int(0)])),
        "rotary": swept(.object(["type": .string("string")])),
        "task": .object(["type": .string("object")]),
      ]),
      "additionalProperties": .bool(false),
    ])
    return described(
      .object(["type": .string("array"), "items": question]), "what else is asked of every trained model")
  }

  private var auxiliary: JSONValue {
    let ids = TaskCatalog.standard.ids.map(JSONValue.string)
    let one = JSONValue.object([
      "type": .string("object"),
      "properties": .object([
        "id": .object(["enum": .array(ids)]), "name": .object(["type": .string("string")]),
        "weight": swept(.object(["type": .string("number"), "minimum": .int(0)])), "share": swept(positive),
      ]),
      "required": .array([.string("id")]),
    ])
    let list = JSONValue.object(["type": .string("array"), "items": one])
    return described(
      .object([
        "type": .string("array"), "items": .object(["anyOf": .array([one, list])]),
      ]),
      "tasks that are learned beside the main one, with their settings and a weight or share; lists of them are a sweep"
    )
  }

  private var positive: JSONValue {
    .object(["type": .string("number"), "exclusiveMinimum": .int(0)])
  }

  // MARK: - Pieces

  private func members(_ parameters: [VariantDescription.ParameterDescription]) -> [JSONValue.Member] {
    parameters.map { parameter in
      let help = parameter.unit.isEmpty ? parameter.help : "\(parameter.help) (\(parameter.unit))"
      return JSONValue.Member(
        key: parameter.name, value: described(swept(value(of: parameter.allowed)), help))
    }
  }

  private func mapping(_ members: [JSONValue.Member], _ help: String) -> JSONValue {
    described(
      .object([
        "type": .string("object"), "properties": .object(members), "additionalProperties": .bool(false),
      ]), help)
  }

  /// What some words allow; a text for words such as those of a path, which may look like a number.
  private func value(of allowed: String) -> JSONValue {
    AllowedValues.schema(allowed)
      ?? .object(["type": .array(["string", "number", "boolean"].map(JSONValue.string))])
  }

  /// A value, or a list of them: a sweep.
  private func swept(_ value: JSONValue) -> JSONValue {
    let list = JSONValue.object(["type": .string("array"), "items": value, "minItems": .int(1)])
    return .object(["anyOf": .array([value, list])])
  }

  private func described(_ schema: JSONValue, _ help: String) -> JSONValue {
    guard case .object(let members) = schema else { return schema }
    return .object(members + [.init(key: "description", value: .string(help))])
  }

  private func text(_ key: String, _ help: String) -> JSONValue.Member {
    .init(key: key, value: described(.object(["type": .string("string")]), help))
  }

  private func anyOf(_ types: [String], _ help: String) -> JSONValue {
    let schema = JSONValue.object(["type": .array(types.map(JSONValue.string))])
    return help.isEmpty ? schema : described(schema, help)
  }
}
