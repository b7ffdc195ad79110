import ArgumentParser
import AttentionCore
import Laboratory

/// `attnlab list`: variants with their parameters.
struct ListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "List variants, tasks, forms and presets, or all about one variant.",
    discussion: """
      Examples:
        attnlab list
        attnlab list sliding-window
        attnlab list --json
      """)

  @Argument(help: "A variant; without one, everything is listed.")
  var variant: String?

  @Flag(help: "Print JSON.")
  var json = false

  func run() throws {
    let catalog = AttentionLab.catalog
    if let variant {
      let description = VariantDescription(try catalog.type(of: variant))
      print(json ? description.json.pretty : Self.page(description))
      return
    }
    let all = catalog.types.map(VariantDescription.init)
    if json {
      print(JSONValue.object(["variants": .array(all.map(\.json))]).pretty)
      return
    }
    var table = TextTable(["variant", "idea"])
    for description in all { table.add([description.card.id, description.card.idea]) }
    print(table.text)
  }

  private static func page(_ description: VariantDescription) -> String {
    let card = description.card
    var lines = [card.id + ": " + card.title, "", card.idea, card.equation, card.paper]
    if description.parameters.isEmpty {
      lines += ["", "no parameters"]
    } else {
      var table = TextTable(["parameter", "default", "unit", "allowed", "meaning"])
      for parameter in description.parameters {
        table.add([
          parameter.name, parameter.defaultValue.description, parameter.unit, parameter.allowed,
          parameter.help,
        ])
      }
      lines += ["", table.text]
    }
    return lines.joined(separator: "\n")
  }
}
