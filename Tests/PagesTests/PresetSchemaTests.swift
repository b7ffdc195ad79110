import Attention
import AttentionCore
import Basics
import Foundation
import Presets
import Records
import Settings
import Testing

@testable import Pages

/// `attnlab list schema`: every preset of the project obeys it, and what a run refuses by name, type or range it refuses.
@Suite struct PresetSchemaTests {
  private static let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path
  private static let schema = PresetSchema(catalog: .standard, kinds: .standard).json

  private static func problem(in yaml: String) throws -> String? {
    let node = try #require(try PresetNode.parse(yaml, place: { "line \($0)" }))
    return SchemaCheck(root: schema).problem(of: node.json, schema, at: "preset")
  }

  static let presets = try? FileManager.default.contentsOfDirectory(atPath: package + "/Experiments")
    .filter { $0.hasSuffix(".yaml") }.sorted()

  @Test("every preset obeys the schema", arguments: presets ?? [])
  func everyPreset(name: String) throws {
    let text = try String(contentsOfFile: "\(Self.package)/Experiments/\(name)", encoding: .utf8)
    let problem = try Self.problem(in: text)
    #expect(problem == nil, "\(name)")
    #expect(Self.presets?.count ?? 0 > 8)
  }

  @Test(
    "what a run refuses is refused",
    arguments: [
      "variants: full\nn: 64\nheds: 2", "variants: ful\nn: 64", "variants: full\nn: 0",
      "variants: full\nn: [64, many]", "variants: {sliding-window: {windows: 8}}\nn: 64",
      "variants: {sliding-window: {left: -1}}\nn: 64", "variants: {lsh: {duplicates: keeps}}\nn: 64",
      "variants: full\nn: 64\npass: forwards", "variants: full\nn: 64\ncausal: 1",
      "experiment: training\ntask: mqarr", "experiment: training\ntask: {id: mqar, pears: 3}",
      "experiment: training\ntask: text\nmodel: {width: 0}",
      "experiment: training\ntask: text\npoints: [{width: 8}]",
      "experiment: trainings\ntask: text", "experiments: [{variants: full, n: 64}]",
      "variants: full\nn: 64\ntargets: [{figure: fraction_of_limit}]",
      "variants: full\nn: 64\ntargets: [{figure: fraction_of_limit, at_least: 1, pas: forward}]",
      "variants: full\nn: 64\ntargets: [{figure: fraction_of_limit, at_least: 1, head_dim: 0}]",
      "experiment: training\ntask: text\ntargets: [{figure: fraction_of_limit, at_least: 1, model.widht: 8}]",
    ])
  func mistakes(yaml: String) throws {
    #expect(try Self.problem(in: yaml) != nil)
    #expect(throws: UsageError.self) {
      try Preset(yaml: yaml, file: "p.yaml", catalog: .standard, kinds: .standard)
    }
  }

  @Test(
    "every default obeys the schema of its setting, and its words are understood",
    arguments: Catalog.standard.ids)
  func defaults(variant: String) throws {
    for parameter in VariantDescription(try Catalog.standard.type(of: variant)).parameters {
      let schema = try #require(AllowedValues.schema(parameter.allowed), "\(parameter.allowed)")
      let problem = SchemaCheck(root: schema).problem(
        of: JSONValue(parameter.defaultValue), schema, at: parameter.name)
      #expect(problem == nil)
    }
  }

  @Test(arguments: ["", "a whole number from 1", "one", "a number between 1 and 2", "any text"])
  func wordsOfNoDeclaration(words: String) { #expect(AllowedValues.schema(words) == nil) }
}

extension PresetNode {
  /// The node as JSON, by YAML's core schema.
  fileprivate var json: JSONValue {
    switch content {
    case .list(let nodes): return .array(nodes.map(\.json))
    case .mapping(let entries): return .object(entries.map { .init(key: $0.key, value: $0.value.json) })
    case .scalar(let text, let isQuoted):
      if isQuoted { return .string(text) }
      switch CoreScalar(text) {
      case .null: return .null
      case .bool(let flag): return .bool(flag)
      case .int(let number): return .int(number)
      case .double(let number): return .double(number)
      case .text(let text): return .string(text)
      }
    }
  }
}

/// As much of JSON Schema as the schema of presets uses; an unknown keyword is a mistake of the test.
private struct SchemaCheck {
  let root: JSONValue

  /// The first problem of a value, or `nil`.
  func problem(of value: JSONValue, _ schema: JSONValue, at place: String) -> String? {
    guard case .object(let rules) = schema else { return "\(place): no schema" }
    for rule in rules {
      if let problem = problem(of: value, rule, among: schema, at: place) { return problem }
    }
    return nil
  }

  private func problem(
    of value: JSONValue, _ rule: JSONValue.Member, among schema: JSONValue, at place: String
  ) -> String? {
    switch rule.key {
    case "$schema", "$defs", "title", "description": return nil
    case "$ref": return problem(of: value, root["$defs"]["experiment"], at: place)
    case "type":
      let types = rule.value.stringValue.map { [.string($0)] } ?? rule.value.arrayValue
      return types.contains { has(value, $0.stringValue ?? "") } ? nil : "\(place): no \(rule.value.compact)"
    case "enum": return rule.value.arrayValue.contains(value) ? nil : "\(place): not in \(rule.value.compact)"
    case "const": return value == rule.value ? nil : "\(place): not \(rule.value.compact)"
    case "anyOf":
      let problems = rule.value.arrayValue.map { problem(of: value, $0, at: place) }
      return problems.contains(nil) ? nil : problems.compactMap(\.self).joined(separator: "; ")
    case "minimum", "maximum", "exclusiveMinimum": return range(value, rule, at: place)
    case "items":
      guard case .array(let elements) = value else { return nil }
      return elements.lazy.compactMap { problem(of: $0, rule.value, at: place + "[]") }.first
    case "minItems":
      guard case .array(let elements) = value else { return nil }
      return elements.isEmpty ? "\(place): empty" : nil
    default: return members(value, rule, among: schema, at: place)
    }
  }

  private func members(
    _ value: JSONValue, _ rule: JSONValue.Member, among schema: JSONValue, at place: String
  ) -> String? {
    guard case .object(let members) = value else { return nil }
    let names = members.map(\.key)
    guard case .object(let known) = schema["properties"] else {
      return rule.key == "propertyNames"
        ? names.first(where: isNoPath).map { "\(place): \($0)" } : "\(rule.key)?"
    }
    switch rule.key {
    case "properties":
      return members.lazy.compactMap { member in
        known.first { $0.key == member.key }
          .flatMap { problem(of: member.value, $0.value, at: "\(place).\(member.key)") }
      }.first
    case "additionalProperties":
      return names.first { name in !known.contains { $0.key == name } }.map { "\(place): \($0) is unknown" }
    case "required":
      return rule.value.arrayValue.first { !names.contains($0.stringValue ?? "") }.map {
        "\(place): \($0) is missing"
      }
    case "minProperties", "maxProperties": return names.count == 1 ? nil : "\(place): not one member"
    default: return "\(rule.key)?"
    }
  }

  /// The pattern of `propertyNames`.
  private func isNoPath(_ name: String) -> Bool {
    name.wholeMatch(of: /((task|model|training)\..+|compute)/) == nil
  }

  private func range(_ value: JSONValue, _ rule: JSONValue.Member, at place: String) -> String? {
    guard let number = value.numberValue, let bound = rule.value.numberValue else { return nil }
    let isInside =
      switch rule.key {
      case "minimum": number >= bound
      case "maximum": number <= bound
      default: number > bound
      }
    return isInside ? nil : "\(place): \(number) is beyond \(bound)"
  }

  private func has(_ value: JSONValue, _ type: String) -> Bool {
    switch (value, type) {
    case (.bool, "boolean"), (.string, "string"), (.array, "array"), (.object, "object"), (.int, "integer"),
      (.int, "number"), (.double, "number"):
      true
    case (.double(let number), "integer"): number == number.rounded()
    default: false
    }
  }
}
