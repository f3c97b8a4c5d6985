"""How the page looks: one accent, calm greys, system fonts only (the page fetches nothing from elsewhere)."""

from pathlib import Path

from gradio import themes

_SANS = (
    "-apple-system",
    "BlinkMacSystemFont",
    "Segoe UI",
    "Hiragino Sans",
    "Yu Gothic UI",
    "Noto Sans CJK JP",
    "Noto Sans JP",
    "Helvetica Neue",
    "Arial",
    "sans-serif",
)
_MONO = (
    "ui-monospace",
    "SFMono-Regular",
    "Menlo",
    "Consolas",
    "DejaVu Sans Mono",
    "Noto Sans Mono CJK JP",
    "monospace",
)

_INDIGO = themes.Color(
    c50="#eef2ff",
    c100="#e0e7ff",
    c200="#c7d2fe",
    c300="#a5b4fc",
    c400="#818cf8",
    c500="#5b63e6",
    c600="#4a4fd4",
    c700="#3f42b4",
    c800="#343791",
    c900="#2e3172",
    c950="#1c1d45",
)


def make_theme() -> themes.Base:
    """The theme of both languages, light and dark."""
    return themes.Base(
        primary_hue=_INDIGO,
        neutral_hue=themes.colors.slate,
        spacing_size=themes.sizes.spacing_md,
        radius_size=themes.sizes.radius_md,
        text_size=themes.sizes.text_md,
        font=_SANS,
        font_mono=_MONO,
    ).set(
        body_background_fill="#f7f8fa",
        body_background_fill_dark="#0e1118",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#161a23",
        background_fill_secondary="#f7f8fa",
        background_fill_secondary_dark="#11151d",
        border_color_primary="#e3e6ec",
        border_color_primary_dark="#2a303c",
        body_text_color="#1c2230",
        body_text_color_dark="#e6e9f0",
        body_text_color_subdued="#5c6577",
        body_text_color_subdued_dark="#9aa4b6",
        block_background_fill="*background_fill_primary",
        block_background_fill_dark="*background_fill_primary",
        panel_background_fill="*background_fill_primary",
        panel_background_fill_dark="*background_fill_primary",
        block_radius="12px",
        container_radius="12px",
        input_radius="8px",
        input_border_width="1px",
        input_border_width_dark="1px",
        block_border_width="1px",
        block_shadow="none",
        block_shadow_dark="none",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_text_color="*body_text_color_subdued",
        block_title_text_weight="600",
        block_title_text_size="*text_sm",
        block_info_text_size="*text_sm",
        input_background_fill="#ffffff",
        input_background_fill_dark="#11151d",
        input_border_color="#d3d8e2",
        input_border_color_dark="#333b4a",
        input_border_color_focus="*primary_500",
        input_border_color_focus_dark="*primary_400",
        input_shadow_focus="0 0 0 3px color-mix(in srgb, var(--primary-500) 22%, transparent)",
        input_shadow_focus_dark="0 0 0 3px color-mix(in srgb, var(--primary-400) 30%, transparent)",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#ffffff",
        button_secondary_background_fill="#ffffff",
        button_secondary_background_fill_dark="#1d2330",
        button_secondary_background_fill_hover="#f1f3f8",
        button_secondary_background_fill_hover_dark="#262d3c",
        button_secondary_border_color="#d3d8e2",
        button_secondary_border_color_dark="#333b4a",
        button_border_width="1px",
        button_transform_hover="none",
        button_large_radius="8px",
        button_medium_radius="8px",
        button_small_radius="7px",
        button_large_text_weight="600",
        button_medium_text_weight="550",
        table_border_color="*border_color_primary",
        table_even_background_fill="*background_fill_primary",
        table_even_background_fill_dark="*background_fill_primary",
        table_odd_background_fill="*background_fill_primary",
        table_odd_background_fill_dark="*background_fill_primary",
    )


def read_css(assets: Path) -> str:
    """The page's own style sheets: what all tabs share, then one file per tab."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted((assets / "css").glob("*.css")))
