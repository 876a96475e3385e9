/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The page's style sheet. The Content-Security-Policy carries its hash, so that no other can be in force. Colours are
 * named once for light and once for dark; every pair of text and ground has a contrast of 4.5 at least.
 */
static const char page_style[] =
                ":root{color-scheme:light dark;--ground:#f6f5f2;--paper:#fff;--text:#1c2126;--soft:#59626c;"
                "--line:#dedbd4;--head:#f9f8f5;--link:#1f5f9e;--good:#166a3f;--waiting:#2a5c91;--doubtful:#8a5200;"
                "--bad:#a8241c;--forward:#3a78b5;--reply:#2b8576}@media(prefers-color-scheme:dark){:root{"
                "--ground:#121518;--paper:#1a1e22;--text:#e3e6e8;--soft:#9fa9b3;--line:#2d3339;--head:#1e2328;"
                "--link:#86b7e8;--good:#6fcf97;--waiting:#8ab8e6;--doubtful:#e8b45c;--bad:#f4938a;"
                "--forward:#5d9bd6;--reply:#4fb3a1}}*{box-sizing:border-box}body{margin:0;background:var(--ground);"
                "color:var(--text);font:15px/1.45 system-ui,sans-serif;font-variant-numeric:tabular-nums;"
                "overflow-wrap:break-word;-webkit-text-size-adjust:100%}"
                "header,main,footer{max-width:72rem;margin:0 auto;padding:0 1.25rem}a{color:var(--link)}"
                "h1,h2,p,ul,dl,dd,figure{margin:0;padding:0}"

                /* the top: who speaks, and the verdict */
                "header{display:flex;flex-wrap:wrap;align-items:baseline;gap:.2rem 1.25rem;padding-top:1rem;"
                "padding-bottom:.75rem;color:var(--soft);font-size:.85rem}"
                "header b{color:var(--text);font-size:1rem;letter-spacing:.01em}header nav{margin-left:auto}"
                "main{display:grid;gap:1.1rem;grid-template-columns:minmax(0,1fr)}.verdict{display:grid;"
                "grid-template-columns:auto minmax(0,1fr);gap:0 .9rem;align-items:start;padding:1rem 1.15rem;"
                "background:var(--paper);border:1px solid var(--line);border-left:5px solid var(--tone);"
                "border-radius:8px}.good{--tone:var(--good)}.waiting{--tone:var(--waiting)}"
                ".doubtful{--tone:var(--doubtful)}.bad{--tone:var(--bad)}.sign{width:2rem;height:2rem;"
                "margin-top:.1rem;fill:none;stroke:var(--tone);stroke-width:2.2;stroke-linecap:round;"
                "stroke-linejoin:round}.verdict p{color:var(--soft);font-size:.85rem}"
                "h1{font-size:1.3rem;line-height:1.35;font-weight:500;text-wrap:pretty}"
                "h1 b{color:var(--tone);font-weight:650}"
                ".verdict ul{list-style:none;margin-top:.5rem;font-size:.95rem}.verdict li{margin-top:.2rem}"
                ".verdict li b{font-weight:600}"

                /* figures at a glance */
                ".facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:1px;"
                "background:var(--line);border:1px solid var(--line);border-radius:8px;overflow:hidden}"
                ".facts div{background:var(--paper);padding:.6rem .9rem}"
                ".facts dt{color:var(--soft);font-size:.8rem}.facts dd{font-size:1.15rem;line-height:1.3}"
                ".facts small{display:block;font-size:.8rem;color:var(--soft)}"

                /* sections */
                "section{background:var(--paper);border:1px solid var(--line);border-radius:8px;overflow:hidden}"
                "h2{font-size:1rem;font-weight:600;padding:.7rem .9rem 0}"
                "section>p,caption{color:var(--soft);font-size:.85rem;text-align:left;padding:.05rem .9rem .6rem}"
                "table{width:100%;border-collapse:collapse;font-size:.9rem}th,td{text-align:left;"
                "vertical-align:top;padding:.45rem .9rem;border-top:1px solid var(--line);font-weight:400}thead th{"
                "background:var(--head);color:var(--soft);font-size:.8rem;white-space:nowrap;padding-top:.3rem;"
                "padding-bottom:.3rem}tbody th{font-weight:600}"
                "small{display:block;color:var(--soft);font-size:.85em;font-weight:400}"
                ".n{text-align:right;white-space:nowrap}td:not(.n)>time,td:not(.n)>data{white-space:nowrap}"
                ".whole{white-space:nowrap}.some{color:var(--doubtful);font-weight:600}"
                ".level{display:block;width:100%;max-width:9rem;min-width:4rem;height:4px;margin-top:.35rem}"
                ".n .level{margin-left:auto}.level path{stroke:var(--line);stroke-width:4}"
                ".level path+path{stroke:var(--forward)}.level.full path+path{stroke:var(--bad)}"

                /* traffic */
                ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(18rem,1fr));gap:.4rem 1.6rem;"
                "padding:0 .9rem .8rem}figure{min-width:0}figcaption{font-size:.85rem}figcaption b{font-weight:600}"
                "figcaption span{color:var(--soft);white-space:nowrap}.chart{display:block;width:100%;height:7rem}"
                ".forward{--tone:var(--forward)}.reply{--tone:var(--reply)}"
                ".grid{stroke:var(--line);fill:none;vector-effect:non-scaling-stroke}.area{fill:var(--tone);"
                "fill-opacity:.28;stroke:var(--tone);stroke-width:1.3;vector-effect:non-scaling-stroke}"
                ".drops{fill:var(--bad)}.scale{text-align:right;font-size:.75rem;color:var(--soft)}"
                ".axis{display:flex;justify-content:space-between;font-size:.75rem;color:var(--soft)}"
                ".key{color:var(--bad)}"

                /* the process */
                ".process{display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:.5rem 1.25rem;"
                "padding:.2rem .9rem .8rem;font-size:.9rem}.process dt{color:var(--soft);font-size:.8rem}"
                "footer{padding-top:1rem;padding-bottom:2rem;color:var(--soft);font-size:.85rem}"

                /* a phone: a row becomes a card, and each cell names its column itself */
                "@media(max-width:46rem){header,main,footer{padding-left:.75rem;padding-right:.75rem}"
                "header nav{margin-left:0}main{gap:.8rem}h1{font-size:1.12rem}.verdict{padding:.8rem}"
                ".sign{width:1.6rem;height:1.6rem}.facts{grid-template-columns:repeat(2,minmax(0,1fr))}"
                ".facts div:last-child:nth-child(odd){grid-column:1/-1}"
                ".charts{grid-template-columns:minmax(0,1fr);gap:.9rem}.chart{height:5.5rem}"
                "table,caption,tbody{display:block}"
                "thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}tbody tr{"
                "display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:.45rem .9rem;padding:.65rem .9rem;"
                "border-top:1px solid var(--line)}tbody th,tbody td{border:0;padding:0;text-align:left}"
                "tbody th,td.wide{grid-column:1/-1}tbody .n{text-align:left}td:not(.n)>time{white-space:normal}.n "
                ".level{margin-left:0}td::before{"
                "content:attr(data-label);display:block;color:var(--soft);font-size:.75rem;font-weight:400}"
                ".process{grid-template-columns:repeat(2,minmax(0,1fr))}}";
