/// Text as HTML shows it.
func html(_ text: String) -> String {
  text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
    .replacing("\"", with: "&quot;")
}

/// Pieces of a page.
enum HTML {
  /// A table; the first column is a heading, all others are numbers.
  static func table(_ header: [String], _ rows: [[String]], caption: String = "") -> String {
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
  static func list(_ items: [(String, String)]) -> String {
    "<dl>" + items.map { "<dt>\(html($0.0))</dt><dd>\(html($0.1))</dd>" }.joined(separator: "\n") + "</dl>"
  }

  /// A part that is folded until it is opened.
  static func folded(_ title: String, _ content: String) -> String {
    "<details><summary>\(html(title))</summary>\(content)</details>"
  }

  /// A picture with what it shows.
  static func figure(_ svg: String, _ caption: String) -> String {
    "<figure>\(svg)<figcaption>\(html(caption))</figcaption></figure>"
  }

  /// An SVG of gnuplot's made part of a page: without its header, in the page's colours, with names of its own.
  static func adopt(_ svg: String, prefix: String) -> String {
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
  static func page(title: String, body: String) -> String {
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

  private static let style = """

    :root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --paper: #ffffff; --card: #f6f8fa;
      --line: #d0d7de; --accent: #0072b2; }
    @media (prefers-color-scheme: dark) {
      :root { --ink: #e6edf3; --soft: #9aa4af; --paper: #0f1419; --card: #161c23; --line: #333c47; --accent: #58b4e9; }
    }
    * { box-sizing: border-box; }
    body { margin: 0; background: var(--paper); color: var(--ink);
      font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", Helvetica, Arial, sans-serif; }
    main { max-width: 1180px; margin: 0 auto; padding: 40px 24px 80px; }
    h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .3em; letter-spacing: -.01em; }
    h2 { font-size: 1.3rem; margin: 2.4em 0 .7em; padding-bottom: .3em; border-bottom: 1px solid var(--line); }
    h3 { font-size: 1.02rem; margin: 1.8em 0 .5em; }
    p { margin: .5em 0; max-width: 75ch; }
    .lead { font-size: 1.1rem; color: var(--soft); }
    .meta { color: var(--soft); font-size: .9rem; }
    ul.short { padding-left: 1.2em; } ul.short li { margin: .35em 0; max-width: 85ch; }
    .scroll { overflow-x: auto; margin: .6em 0; }
    table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; min-width: 60%; }
    caption { text-align: left; color: var(--soft); padding: .2em 0 .5em; }
    th, td { padding: .38em .8em; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
    th:first-child { text-align: left; font-weight: 600; }
    thead th { color: var(--soft); font-weight: 600; border-bottom: 2px solid var(--line); }
    tbody tr:hover { background: var(--card); }
    td.left, th.left { text-align: left; }
    figure { margin: 1.4em 0; padding: 16px 12px 10px; background: var(--card); border: 1px solid var(--line);
      border-radius: 10px; }
    figure svg { width: 100%; height: auto; display: block; font-family: inherit; }
    figcaption { color: var(--soft); font-size: .9rem; padding: .4em .6em 0; max-width: 95ch; }
    dl { display: grid; grid-template-columns: max-content 1fr; gap: .25em 1.4em; font-size: .92rem; }
    dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
    pre, code { font: .86rem/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, monospace; }
    pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 14px 16px; overflow-x: auto; }
    details { margin: 1em 0; } summary { cursor: pointer; color: var(--accent); }
    footer { margin-top: 4em; color: var(--soft); font-size: .85rem; }
    @media print { main { max-width: none; padding: 0; } figure { break-inside: avoid; } }

    """
}
