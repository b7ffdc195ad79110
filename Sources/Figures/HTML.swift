import Basics

/// Text as HTML shows it.
package func html(_ text: String) -> String {
  text.replacingScalars(["&": "&amp;", "<": "&lt;", ">": "&gt;", "\"": "&quot;"])
}

/// Pieces of a page.
package enum HTML {
  /// A table; the first column is a heading, all others are numbers.
  package static func table(_ header: [String], _ rows: [[String]], caption: String = "") -> String {
    let head = header.map { "<th scope=\"col\">\(html($0))</th>" }.joined()
    let body = rows.map { row in
      let cells = row.enumerated().map { index, cell in
        index == 0 ? "<th scope=\"row\">\(html(cell))</th>" : "<td>\(html(cell))</td>"
      }
      return "<tr>\(cells.joined())</tr>"
    }
    let title = caption.isEmpty ? "" : "<caption>\(html(caption))</caption>"
    return "<div class=\"scroll\"><table>\(title)<thead><tr>\(head)</tr></thead>\n<tbody>"
      + body.joined(separator: "\n") + "</tbody></table></div>"
  }

  /// Names and values.
  package static func list(_ items: [(String, String)]) -> String {
    "<dl>" + items.map { "<dt>\(html($0.0))</dt><dd>\(html($0.1))</dd>" }.joined(separator: "\n") + "</dl>"
  }

  /// A part that is folded until it is opened.
  package static func folded(_ title: String, _ content: String) -> String {
    "<details><summary>\(html(title))</summary>\(content)</details>"
  }

  /// A picture of one or several pieces with what it shows, and the command that draws it.
  package static func figure(_ pieces: [String], _ caption: String, command: String? = nil) -> String {
    let command = command.map { " <code>\(html($0))</code>" } ?? ""
    let shape = " class=\"\(pieces.count > 1 ? "pieces" : "piece")\""
    return "<figure><div\(shape)>\(pieces.joined(separator: "\n"))</div>"
      + "<figcaption>\(html(caption))\(command)</figcaption></figure>"
  }

  /// The marks that all pictures of a page draw with: before the first of them.
  package static var marks: String { PageSVG.marks }

  /// What a page says once more for programs, as JSON-LD: inside, no text can end the script.
  package static func data(_ value: JSONValue) -> String {
    "<script type=\"application/ld+json\">\(value.compact.replacingScalars(["<": "\\u003c"]))</script>\n"
  }

  /// A list of the page's headings of the second order, and the page with names that the list leads to.
  /// - Parameters:
  ///   - body: what stands on the page.
  ///   - first: the number of the first heading, where the page has other parts before.
  package static func contents(_ body: String, from first: Int = 0) -> (list: String, body: String) {
    var items: [String] = []
    var parts = body.components(between: "<h2>", and: "</h2>")
    for index in parts.indices where !index.isMultiple(of: 2) {
      items.append("<li><a href=\"#part-\(first + items.count)\">\(parts[index])</a></li>")
      parts[index] = "<h2 id=\"part-\(first + items.count - 1)\">\(parts[index])</h2>"
    }
    guard items.count > 2 else { return ("", body) }
    return ("<nav aria-label=\"Contents\"><ul>\(items.joined(separator: "\n"))</ul></nav>\n", parts.joined())
  }

  /// A whole page with its style: no network, light and dark.
  package static func page(title: String, body: String) -> String {
    """
    <!doctype html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>\(html(title))</title>
    <style>\(style)</style>
    </head>
    <body>
    <main>
    \(body)
    </main>
    <script>\(script)</script>
    </body>
    </html>

    """
  }

  /// `report.css`, which is compiled into the program: a program that is copied elsewhere has no bundle beside it.
  private static let style =
    PageSVG.palette + String(decoding: PackageResources.report_css, as: UTF8.self)
  /// `report.js`, likewise.
  private static let script = String(decoding: PackageResources.report_js, as: UTF8.self)
}

extension String {
  /// The text cut at every pair of marks: what lies outside stands at even places, what lies inside at odd ones.
  fileprivate func components(between opening: String, and closing: String) -> [String] {
    var parts: [String] = []
    var rest = self[...]
    while let start = rest.firstRange(of: opening),
      let end = rest[start.upperBound...].firstRange(of: closing)
    {
      parts += [String(rest[..<start.lowerBound]), String(rest[start.upperBound..<end.lowerBound])]
      rest = rest[end.upperBound...]
    }
    return parts + [String(rest)]
  }
}
