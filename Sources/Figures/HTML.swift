/// Text as HTML shows it.
package func html(_ text: String) -> String {
  text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
    .replacing("\"", with: "&quot;")
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

  /// A picture with what it shows.
  package static func figure(_ svg: String, _ caption: String) -> String {
    "<figure>\(svg)<figcaption>\(html(caption))</figcaption></figure>"
  }

  /// An SVG of gnuplot's made part of a page: without its header, in the page's colours, with names of its own.
  package static func adopt(_ svg: String, prefix: String) -> String {
    guard let start = svg.firstRange(of: "<svg") else { return "" }
    return String(svg[start.lowerBound...])
      .replacing("rgb( 31,  35,  40)", with: "var(--ink)").replacing("rgb(31,35,40)", with: "var(--ink)")
      .replacing("rgb(208, 215, 222)", with: "var(--line)")
      .replacing("id='", with: "id='\(prefix)-").replacing("id=\"", with: "id=\"\(prefix)-")
      .replacing("href='#", with: "href='#\(prefix)-").replacing("url(#", with: "url(#\(prefix)-")
      .replacing("<title>Gnuplot</title>", with: "")
      .replacing("font-family=\"DejaVu Sans,Helvetica,Arial\"", with: "")
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
    </body>
    </html>

    """
  }

  /// `report.css`, which is compiled into the program: a program that is copied elsewhere has no bundle beside it.
  private static let style = String(decoding: PackageResources.report_css, as: UTF8.self)
}
